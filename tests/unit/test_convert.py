"""Checkpoint files of strangers: what does not fit is refused in one line, and nothing is written."""

import zipfile

import pytest
import torch
from safetensors.torch import save_file

from geotrans import Condition, ConditionSpec, convert, create_model
from geotrans.cli import main
from geotrans.convert import converter_options, converters, read_checkpoint
from geotrans.layers.convert import keep_statistics


@pytest.fixture
def stargan(golden):
    return golden("stargan_g").state


@pytest.fixture
def refused(tmp_path, capsys):
    """Convert a file by the command; the one line on stderr. Exit code 2, and no output."""

    def attempt(content, family="stargan", *settings, name="official.pth"):
        path = tmp_path / name
        if content is not None:
            torch.save(content, path)
        capsys.readouterr()
        with pytest.raises(SystemExit) as stop:
            main(["convert", family, str(path), str(tmp_path / "out"), *settings])
        error = capsys.readouterr().err
        assert stop.value.code == 2
        assert error.count("\n") == 1
        assert [file for file in tmp_path.iterdir() if file.name == "out" or file.name.startswith(".")] == []
        return error

    return attempt


class Hostile:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        import os

        return os.system, (f"touch {self.path}",)


def test_a_pickle_that_runs_code_is_not_run(refused, stargan, tmp_path):
    owned = tmp_path / "owned"
    for content in ({"w": Hostile(owned)}, {**stargan, "main.0.weight": Hostile(owned)}, Hostile(owned)):
        error = refused(content)
        assert "refused, it holds more than tensors (posix.system)" in error
        assert "weights_only" not in error
    assert not owned.exists()


def test_missing_extra_and_wrong_shapes_are_listed_together(refused, stargan):
    state = dict(stargan)
    del state["main.1.weight"], state["main.4.bias"]
    state |= {"head.weight": torch.zeros(1), "main.3.weight": stargan["main.3.weight"].mT[..., :3]}
    assert (
        "the checkpoint does not fit StarGAN: missing: main.1.weight, main.4.bias; unexpected: head.weight; "
        "shapes: main.3.weight (expected (16, 8, 4, 4), got (16, 8, 4, 3))"
    ) in refused(state)
    transposed = {key: value.transpose(0, 1) if value.ndim == 4 else value for key, value in stargan.items()}
    assert "the checkpoint does not fit StarGAN: shapes: " in refused(transposed)
    assert "main.4.bias and 30 more" in refused({k: v for k, v in stargan.items() if v.ndim == 4})
    assert "unexpected: head?[31m" in refused({**stargan, "head\x1b[31m": torch.zeros(1)})


def test_numbers_that_are_none_are_refused(refused, stargan):
    key = "main.3.weight"
    assert f"{key}: expected floating-point numbers, got torch.int64" in refused({**stargan, key: stargan[key].long()})
    assert f"{key}: expected floating-point numbers, got torch.bool" in refused({**stargan, key: stargan[key] > 0})
    assert f"{key}: expected floating-point numbers, got torch.float32 of shape (0, 8" in refused(
        {**stargan, key: stargan[key][:0]}
    )
    for bad in (float("nan"), float("inf")):
        spoilt = stargan[key].clone()
        spoilt[0, 0, 0, 0] = bad
        assert f"{key} holds NaN or infinite numbers" in refused({**stargan, key: spoilt})
    big = stargan[key].double() * 1e300
    assert f"{key} holds NaN or infinite numbers" in refused({**stargan, key: big})


def test_what_is_no_state_dict_is_refused(refused, tmp_path):
    assert "expected a state dict (names to tensors), got Tensor" in refused(torch.zeros(3))
    assert "expected a state dict (names to tensors), got dict" in refused({})
    assert "epoch: expected a tensor (or a state dict of them), got int" in refused({"w": torch.zeros(3), "epoch": 3})
    assert "a.b.c: expected a tensor" in refused({"a": {"b": {"c": {"d": torch.zeros(3)}}}})
    loop = {}
    loop["loop"] = loop
    assert "loop.loop.loop: expected a tensor" in refused(loop)
    assert "the checkpoint is empty" in refused({"state_dict": {"a": {}}})
    (tmp_path / "text.pth").write_text("<html>404</html>")
    assert "not a whole PyTorch checkpoint" in refused(None, name="text.pth")
    (tmp_path / "none.pth").write_bytes(b"")
    assert "not a whole PyTorch checkpoint (EOFError)" in refused(None, name="none.pth")
    assert "no such file" in refused(None, name="gone.pth")
    with pytest.raises(ValueError, match="the checkpoint is empty"):
        convert("stargan", {})


def test_small_files_that_stand_for_large_tensors_are_refused(refused, tmp_path):
    huge = {"main.0.weight": torch.zeros(1).expand(10**6, 10**6)[..., None, None]}
    assert "refused, it unpacks to 4000000000000 bytes; expected at most" in refused(huge)
    torch.save({"main.0.weight": torch.zeros(10**6)}, tmp_path / "large.pth")
    with (
        zipfile.ZipFile(tmp_path / "large.pth") as large,
        zipfile.ZipFile(tmp_path / "bomb.pth", "w", zipfile.ZIP_DEFLATED) as bomb,
    ):
        for entry in large.namelist():
            bomb.writestr(entry, large.read(entry))
    (tmp_path / "large.pth").unlink()
    assert "refused, it unpacks to 4" in refused(None, name="bomb.pth")


def test_sizes_that_few_keys_ask_for_are_not_allocated(refused):
    def critic(layers, *widths):
        heads = {"conv1.weight": torch.zeros(1, 1, 3, 3), "conv2.weight": torch.zeros(5, 1, 2, 2)}
        return heads | {f"main.{2 * n}.weight": torch.zeros(widths[n % len(widths)], 1, 4, 4) for n in range(layers)}

    assert "no network has these shapes" in refused(critic(70, 1, 2), "star_discriminator")
    assert "does not fit StarDiscriminator: missing: " in refused(critic(17, 1, 2), "star_discriminator")
    blocks = {f"main.{9 + block}.main.0.weight": torch.zeros(1) for block in range(300)}
    assert "does not fit StarGAN: missing: " in refused({"main.0.weight": torch.zeros(64, 8, 7, 7), **blocks})


def test_options_are_named_typed_and_checked(refused, stargan):
    assert "stargan has no field 'resolution'" in refused(stargan, "stargan", "--set", "resolution=64")
    assert "condition: expected 5 columns, as the checkpoint has, got 2" in refused(
        stargan, "stargan", "--set", "condition.attributes=Bald,Bangs"
    )
    with pytest.raises(TypeError, match="stargan has no option 'colour'"):
        convert("stargan", stargan, colour=1)
    with pytest.raises(LookupError, match="no family is named 'starganx'; did you mean 'stargan'"):
        convert("starganx", stargan)


def test_columns_can_be_named(stargan, tmp_path):
    torch.save(stargan, tmp_path / "official.pth")
    names = "Bald,Bangs,Male,Smiling,Young"
    arguments = [str(tmp_path / "official.pth"), str(tmp_path / "out"), "--set", f"condition.attributes={names}"]
    main(["convert", "stargan", *arguments])
    model = create_model(f"local-dir:{tmp_path / 'out'}", pretrained=True)
    assert ",".join(model.cfg.condition.attributes) == names
    assert names.replace(",", "', '") in (tmp_path / "out" / "README.md").read_text()
    joint = ConditionSpec(attributes=("Bald",), emotion=("happy", "sad"), modality=("celeba", "rafd"))
    assert convert("stargan", stargan, condition=joint).cfg.condition == joint


@pytest.mark.parametrize("dtype", [torch.float16, torch.float64, torch.bfloat16])
def test_parallel_prefixes_wrappers_and_other_precisions_are_read(stargan, tmp_path, dtype):
    numbers = {key: value.to(dtype) if value.is_floating_point() else value for key, value in stargan.items()}
    torch.save({"state_dict": {f"module.{k}": v for k, v in numbers.items()}, "epoch": 9}, tmp_path / "official.pth")
    model = convert("stargan", read_checkpoint(tmp_path / "official.pth"))
    plain = convert("stargan", {key: value.to(dtype).float() for key, value in stargan.items()})
    assert {value.dtype for value in model.state_dict().values()} == {torch.float32}
    assert all(torch.equal(value, plain.state_dict()[key]) for key, value in model.state_dict().items())


def test_safetensors_and_files_of_the_old_format_are_read(golden, tmp_path):
    case = golden("stargan_g")
    save_file(case.state, tmp_path / "official.safetensors")
    torch.save(case.state, tmp_path / "old.pth", _use_new_zipfile_serialization=False)
    for name in ("official.safetensors", "old.pth"):
        model = convert("stargan", read_checkpoint(tmp_path / name))
        case.close("image", model(case.inputs["image"], Condition(attributes=case.inputs["cond"])).image)


def test_the_callers_tensors_are_left_alone(stargan):
    before = {key: value.clone() for key, value in stargan.items()}
    model = convert("stargan", stargan)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
    assert all(torch.equal(value, before[key]) for key, value in stargan.items())


def test_every_family_refuses_every_other(golden):
    files = {
        "stargan": "stargan_g",
        "star_discriminator": "stargan_d",
        "ganimation": "ganimation_g",
        "ganimation_replicate": "ganimation_replicate_g",
        "ganimation_replicate_discriminator": "ganimation_replicate_d",
        "adspm": "adspm_g256",
        "motion_discriminator": "adspm_d_motion",
        "cyclegan": "cyclegan_g_resnet",
        "patchgan": "cyclegan_d_patch_in",
        "pix2pix": "pix2pix_g_unet",
        "munit": "munit_g",
        "munit_discriminator": "munit_d",
    }
    assert set(files) <= set(converters())
    for family in files:
        for other, name in files.items():
            if other != family:
                with pytest.raises(ValueError, match=r"another family|does not fit|expected \d dimensions"):
                    convert(family, golden(name).state)


def test_every_option_has_a_type_and_a_default():
    for family in converters():
        for name, (hint, default) in converter_options(family).items():
            assert hint is not None
            assert isinstance(default, (str, bool, int, float, ConditionSpec, type(None))), f"{family}: {name}"


def test_missing_counts_of_batches_are_filled_in():
    state = {"1.running_mean": torch.ones(2), "1.running_var": torch.ones(2), "1.weight": torch.ones(2)}
    kept = keep_statistics(state)
    assert set(kept) == {*state, "1.num_batches_tracked"}
    assert kept["1.num_batches_tracked"] == 0
    assert keep_statistics({**state, "1.num_batches_tracked": torch.tensor(7)})["1.num_batches_tracked"] == 7
