import dataclasses
import json

import pytest
import torch

import geotrans
from geotrans import (
    ConditionSpec,
    create_discriminator,
    create_loss,
    create_model,
    list_models,
    model_info,
    save_folder,
)
from geotrans.base import config_from_dict, config_to_dict, override
from geotrans.models.spm import SPMConfig
from hub.files import read_safetensors, write_safetensors
from hub.folder import FILES, bundled_folders


@pytest.fixture
def folder(tmp_path):
    model = create_model("spm_refine_64", width=4, blocks=1, refine_blocks=1)
    return save_folder(model, tmp_path / "spm", arch="spm_refine_64", tag="test", half=True)


def test_names_and_wildcards():
    assert "spm_refine_64" in list_models("spm*")
    assert list_models("spm_refine_64") == ["spm_refine_64"]
    assert "star_d_128" in list_models(exclude="spm*")
    assert not [name for name in list_models(exclude="spm*") if name.startswith("spm")]


def test_unknown_model_offers_the_nearest():
    with pytest.raises(LookupError, match=r"no model is named 'spm_refin_64'; did you mean 'spm_refine_64'"):
        create_model("spm_refin_64")


def test_overrides_replace_config_fields():
    assert create_model("spm_refine_64", width=8).cfg.width == 8
    with pytest.raises(TypeError, match=r"SPMConfig has no field 'widht'; did you mean 'width'\? \(fields: blocks, "):
        create_model("spm_refine_64", widht=8)
    with pytest.raises(TypeError, match=r"SPMConfig\.width: expected int, got '8'"):
        create_model("spm_refine_64", width="8")


def test_generators_and_discriminators_are_told_apart():
    with pytest.raises(TypeError, match="create_discriminator"):
        create_model("star_d_64")
    with pytest.raises(TypeError, match="create_model"):
        create_discriminator("spm_refine_64")


def test_misspelt_loss_option_is_named():
    with pytest.raises(TypeError, match=r"cycle_l1 has no option 'weight'"):
        create_loss("cycle_l1", weight=1.0)


def test_model_info_counts_without_allocating():
    info = model_info("spm_refine_128")
    assert info.parameters == 9_989_888
    assert info.condition.attributes == ("Smiling", "Arched_Eyebrows", "Big_Nose", "Pointy_Nose")
    assert "spm.py:" in info.origin


def test_configs_survive_json():
    cfg = SPMConfig(width=8, condition=ConditionSpec(aus=("AU01", "AU12"), needs_source=True))
    assert config_from_dict(SPMConfig, json.loads(json.dumps(config_to_dict(cfg)))) == cfg


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"width": 8.0}, r"width: expected int, got 8.0"),
        ({"motion": 1}, r"motion: expected bool, got 1"),
        ({"condition": {"attributes": "abc"}}, r"attributes: expected tuple\[str, \.\.\.\], got 'abc'"),
        ({"depth": 3}, r"no field 'depth'"),
    ],
)
def test_hostile_configs_are_refused(values, message):
    with pytest.raises(TypeError, match=message):
        config_from_dict(SPMConfig, values)


def test_override_leaves_the_original():
    cfg = SPMConfig()
    assert override(cfg, {"width": 8}).width == 8
    assert cfg == SPMConfig()


def test_half_precision_folder_is_small_and_verified(folder):
    assert sorted(path.name for path in folder.iterdir()) == sorted(FILES)
    weights, _ = read_safetensors(folder / "model.safetensors")
    assert {value.dtype for value in weights.values()} == {torch.float16}
    assert geotrans.verify_folder(folder) < 1e-5


def test_truncated_weights_are_one_clear_line(folder):
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(ValueError, match=r"model\.safetensors: not a whole safetensors file .* get it again"):
        create_model(f"local-dir:{folder}", pretrained=True)


def test_weights_of_another_config_are_refused(folder):
    config = json.loads((folder / "config.json").read_text())
    config["config"]["width"] = 8
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(ValueError, match=r"another config .* width: weights 4, config 8"):
        create_model(f"local-dir:{folder}", pretrained=True)


def test_an_override_that_changes_shapes_is_refused(folder):
    with pytest.raises(ValueError, match=r"do not fit SPM: shapes: encoder\.0\.0\.weight \(expected \(8, 7, 7, 7\)"):
        create_model(f"local-dir:{folder}", pretrained=True, width=8)


def test_other_weights_fail_the_recorded_call(folder):
    path = folder / "model.safetensors"
    weights, metadata = read_safetensors(path)
    write_safetensors(path, {key: value + 0.3 for key, value in weights.items()}, metadata)
    with pytest.raises(ValueError, match="another picture than the one recorded"):
        geotrans.verify_folder(folder)


def test_missing_folders_and_files_are_named(tmp_path, folder):
    with pytest.raises(FileNotFoundError, match="no such folder"):
        create_model(f"local-dir:{tmp_path / 'nowhere'}", pretrained=True)
    (folder / "model.safetensors").unlink()
    with pytest.raises(FileNotFoundError, match=r"model\.safetensors missing"):
        create_model(f"local-dir:{folder}", pretrained=True)


def test_saving_never_replaces_another_kind_of_folder(tmp_path):
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "me.png").write_bytes(b"")
    with pytest.raises(FileExistsError, match="not a published folder"):
        save_folder(create_model("identity"), tmp_path / "photos", arch="identity", tag="test")
    assert (tmp_path / "photos" / "me.png").exists()


def test_untagged_weights_are_asked_for_by_name():
    with pytest.raises(LookupError, match="identity has no weights"):
        create_model("identity", pretrained=True)
    with pytest.raises(LookupError, match=r"spm_refine_64 has no weights tagged 'celeba'; it has: .*synthface"):
        create_model("spm_refine_64.celeba", pretrained=True)


@pytest.mark.parametrize("name", sorted(bundled_folders()))
def test_bundled_folders_are_whole_and_small(name):
    folder = bundled_folders()[name]
    assert sorted(path.name for path in folder.iterdir() if path.name in FILES) == sorted(FILES)
    assert (folder / "model.safetensors").stat().st_size <= 2_000_000


@pytest.mark.parametrize("name", list_models(pretrained=True))
def test_bundled_models_reproduce_their_recorded_call(name):
    assert geotrans.verify_folder(bundled_folders()[name]) < 2e-2
    assert dataclasses.is_dataclass(create_model(name, pretrained=True).cfg)
