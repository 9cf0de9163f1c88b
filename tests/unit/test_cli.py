import contextlib

import pytest
import torch

from geotrans import create_model, save_folder
from geotrans.cli import main
from geotrans.models.appflow import TURNS
from geotrans.ops.images import read_image, write_image


@pytest.fixture
def model(tmp_path):
    torch.manual_seed(3)
    small = create_model("spm_refine_64", width=4, blocks=1, refine_blocks=1)
    return f"local-dir:{save_folder(small, tmp_path / 'spm', arch='spm_refine_64', tag='test')}"


@pytest.fixture
def photo(tmp_path):
    path = tmp_path / "photo.png"
    write_image(path, torch.rand(1, 3, 50, 71) * 2 - 1)
    return path


def fails(capsys, *arguments):
    """Run a command that a user got wrong: exit code 2, and one line on stderr, which is returned."""
    with pytest.raises(SystemExit) as stop:
        main([str(argument) for argument in arguments])
    assert stop.value.code == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1
    return lines[0]


def test_list_and_info(capsys):
    main(["list", "spm_refine_6*"])
    assert capsys.readouterr().out == "spm_refine_64\n"
    main(["info", "spm_refine_128"])
    out = capsys.readouterr().out
    assert "9,989,888" in out
    assert "Smiling, Arched_Eyebrows" in out


def test_info_tells_what_is_read_besides_columns(model, capsys):
    main(["info", "gfla_64"])
    out = capsys.readouterr().out
    assert "structure   18 channels" in out
    assert "source      its condition is read too" in out
    main(["info", "portraitgan_base_64"])
    assert "landmarks   68 points" in capsys.readouterr().out
    main(["info", model])
    assert "weights     its own" in capsys.readouterr().out


def test_views_are_set_as_other_columns_are(photo, capsys, tmp_path):
    torch.manual_seed(0)
    cars = create_model("appflow_64", condition=TURNS)
    save_folder(cars, tmp_path / "cars", arch="appflow_64", tag="test")
    command = ["translate", "--model", f"local-dir:{tmp_path / 'cars'}", "--crop", "whole", "--set"]
    main([*command, "turn_+040=1", str(photo), str(tmp_path / "out.png")])
    assert read_image(tmp_path / "out.png").shape == (1, 3, 50, 71)
    capsys.readouterr()
    assert "it has: turn_-180, " in fails(capsys, *command, "turn_41=1", photo, tmp_path / "none.png")


def test_translate_keeps_the_pictures_size(model, photo, tmp_path):
    out = tmp_path / "deep" / "out.png"
    main(["translate", "--model", model, "--crop", "whole", "--set", "Smiling=1", str(photo), str(out)])
    assert read_image(out).shape == (1, 3, 50, 71)


def test_columns_can_be_set_one_by_one_or_with_commas(model, photo, tmp_path):
    flags = {"one": ["--set", "Smiling=1", "--set", "Big_Nose=0.5"], "both": ["--set", "Smiling=1,Big_Nose=0.5"]}
    for name, setting in flags.items():
        out = tmp_path / f"{name}.png"
        main(["translate", "--model", model, *setting, "--crop", "whole", str(photo), str(out)])
    assert torch.equal(read_image(tmp_path / "one.png"), read_image(tmp_path / "both.png"))


def test_translate_a_folder(model, photo, tmp_path):
    source, output = tmp_path / "in", tmp_path / "out"
    write_image(source / "a.png", torch.zeros(1, 3, 40, 40))
    write_image(source / "sub" / "b.png", torch.zeros(1, 3, 32, 48))
    main(["translate", "--model", model, "--set", "Smiling=1", "--crop", "whole", str(source), str(output)])
    assert read_image(output / "sub" / "b.png").shape == (1, 3, 32, 48)
    assert read_image(output / "a.png").shape == (1, 3, 40, 40)


def test_an_edit_that_does_nothing_is_said(photo, tmp_path, capsys):
    folder = save_folder(create_model("identity"), tmp_path / "same", arch="identity", tag="test")
    main(["translate", "--model", f"local-dir:{folder}", "--crop", "whole", str(photo), str(tmp_path / "out.png")])
    assert "hardly differs" in capsys.readouterr().err


def test_show_writes_a_strip(model, photo, tmp_path):
    out = tmp_path / "strip.png"
    main(["translate", "--model", model, "--crop", "whole", "--show", str(photo), str(out)])
    assert read_image(out).shape[-1] > 5 * 64


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ("Smilling=1", "the model has no column 'Smilling'; it has: Smiling, Arched_Eyebrows, Big_Nose, Pointy_Nose"),
        ("Smiling=2", "Smiling: expected a value from 0 to 1, got 2.0"),
        ("Smiling=yes", "--set Smiling=yes: expected COLUMN=VALUE with a number"),
    ],
)
def test_wrong_columns(model, photo, tmp_path, capsys, settings, message):
    line = fails(capsys, "translate", "--model", model, "--set", settings, photo, tmp_path / "out.png")
    assert message in line
    assert not (tmp_path / "out.png").exists()


def test_mistakes_are_one_line(model, photo, tmp_path, capsys):
    out = tmp_path / "out.png"
    assert "did you mean 'spm_refine_64'" in fails(capsys, "translate", "--model", "spm_refine_6", photo, out)
    assert "no such file" in fails(capsys, "translate", "--model", model, tmp_path / "nothing.png", out)
    broken = tmp_path / "broken.png"
    broken.write_bytes(photo.read_bytes()[:200])
    assert "broken.png" in fails(capsys, "translate", "--model", model, broken, out)
    (tmp_path / "empty").mkdir()
    assert "no images in it" in fails(capsys, "translate", "--model", model, tmp_path / "empty", out)
    assert "no model matches 'zzz*'" in fails(capsys, "list", "zzz*")
    weights = tmp_path / "spm" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-9])
    assert "not a whole safetensors file" in fails(capsys, "translate", "--model", model, photo, out)
    assert not out.exists()
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def test_convert_writes_a_folder_that_loads(golden, tmp_path, capsys):
    torch.save(golden("stargan_g").state, tmp_path / "200000-G.ckpt")
    main(["convert", "stargan", str(tmp_path / "200000-G.ckpt"), str(tmp_path / "stargan")])
    assert "StarGAN" in capsys.readouterr().out
    assert create_model(f"local-dir:{tmp_path / 'stargan'}", pretrained=True).cfg.width == 8
    main(["verify", str(tmp_path / "stargan")])
    assert "is reproduced" in capsys.readouterr().out


class Hostile:
    def __reduce__(self):
        import os

        return os.system, ("touch /nonexistent/owned",)


def test_convert_refuses_what_is_not_a_checkpoint_of_the_family(golden, tmp_path, capsys):
    out, state = tmp_path / "out", golden("stargan_g").state
    hostile, cut, other, extra = (tmp_path / name for name in ("hostile.pth", "cut.pth", "other.pth", "extra.pth"))
    torch.save({"w": Hostile()}, hostile)
    torch.save(state, cut)
    cut.write_bytes(cut.read_bytes()[:5000])
    torch.save({"fc.weight": torch.zeros(2)}, other)
    torch.save({**state, "main.99.weight": torch.zeros(2)}, extra)
    assert "refused, it holds more than tensors" in fails(capsys, "convert", "stargan", hostile, out)
    assert "not a whole PyTorch checkpoint" in fails(capsys, "convert", "stargan", cut, out)
    assert "another family" in fails(capsys, "convert", "stargan", other, out)
    assert "unexpected: main.99.weight" in fails(capsys, "convert", "stargan", extra, out)
    assert "no family is named 'stargann'; did you mean" in fails(capsys, "convert", "stargann", other, out)
    assert "no such file" in fails(capsys, "convert", "stargan", tmp_path / "gone.pth", out)
    assert not out.exists()


@pytest.mark.parametrize("command", ["list", "info", "translate", "train", "convert", "verify"])
def test_help(command, capsys):
    with contextlib.suppress(SystemExit):
        main([command, "--help"])
    assert command in capsys.readouterr().out
