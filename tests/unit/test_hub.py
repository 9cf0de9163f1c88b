import os
import subprocess
import sys

import pytest
import torch

from hub import card, remote
from hub.files import read_json, read_safetensors, replacing, sha256, write_json, write_safetensors
from hub.folder import PublishedFolder, read_folder, write_folder


def published(**changes):
    values = {"arch": "toy", "tag": "t", "config": {"width": 4}, "weights": {"w": torch.ones(2)}, "check": {}}
    return PublishedFolder(**{**values, **changes})


def test_round_trip(tmp_path):
    folder = published(results={"training": {"images": 3}}, card="# toy\n", check={"in/image": torch.zeros(1)})
    again = read_folder(write_folder(folder, tmp_path / "toy"))
    assert (again.arch, again.tag, again.config, again.results) == ("toy", "t", {"width": 4}, folder.results)
    assert torch.equal(again.weights["w"], torch.ones(2))
    assert again.card == "# toy\n"


def test_writing_again_replaces_the_whole_folder(tmp_path):
    write_folder(published(), tmp_path / "toy")
    write_folder(published(tag="second"), tmp_path / "toy")
    assert read_folder(tmp_path / "toy").tag == "second"
    assert os.listdir(tmp_path) == ["toy"]


def test_a_failed_write_leaves_nothing(tmp_path):
    with pytest.raises(ValueError, match="Out of range float"):
        write_folder(published(results={"score": float("nan")}), tmp_path / "toy")
    assert os.listdir(tmp_path) == []


def test_a_failed_write_keeps_the_old_file(tmp_path):
    path = tmp_path / "a.json"
    write_json(path, {"old": 1})
    with pytest.raises(TypeError):
        write_json(path, {"new": object()})
    assert read_json(path) == {"old": 1}
    assert os.listdir(tmp_path) == ["a.json"]


def test_replacing_hides_the_part_until_it_is_whole(tmp_path):
    path = tmp_path / "a.txt"
    with replacing(path) as part:
        part.write_text("x")
        assert not path.exists()
    assert path.read_text() == "x"


def test_json_that_is_none(tmp_path):
    path = tmp_path / "a.json"
    path.write_text("{")
    with pytest.raises(ValueError, match=r"a\.json: not JSON"):
        read_json(path)
    path.write_text("[" * 100_000)
    with pytest.raises(ValueError, match=r"a\.json: not JSON"):
        read_json(path)


def test_safetensors_round_trip_and_digest(tmp_path):
    path = tmp_path / "a.safetensors"
    write_safetensors(path, {"x": torch.arange(3.0)}, {"k": "v"})
    tensors, metadata = read_safetensors(path)
    assert torch.equal(tensors["x"], torch.arange(3.0))
    assert metadata == {"k": "v"}
    done = subprocess.run(["sha256sum", path], capture_output=True, text=True, check=True)
    assert done.stdout.split()[0] == sha256(path)


def test_config_without_arch_is_refused(tmp_path):
    folder = write_folder(published(), tmp_path / "toy")
    (folder / "config.json").write_text("[]")
    with pytest.raises(ValueError, match=r'expected an object with "arch"'):
        read_folder(folder)


def test_hub_names_offline_say_what_to_do(tmp_path):
    code = (
        "from geotrans import create_model\n"
        "try: create_model('hf-hub:nobody/nothing', pretrained=True)\n"
        "except FileNotFoundError as error: print(error)"
    )
    env = {**os.environ, "HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=env)
    assert "hf-hub:nobody/nothing is not in the local cache" in done.stdout
    assert "local-dir:PATH" in done.stdout


@pytest.mark.parametrize(("columns", "call"), [({"aus": ("AU01",)}, "Condition(aus=wanted)"), ({}, "Condition()")])
def test_a_card_shows_the_call_that_the_model_takes(columns, call):
    text = card.render(card.CardFacts("toy.t", "Toy", 3, 64, columns), {})
    assert f"out = model(image, geotrans.{call})" in text


@pytest.mark.parametrize(("error", "calls"), [(OSError("no route"), 1), (remote.BrokenTransferError("a digest"), 3)])
def test_after_a_long_silence_nothing_is_tried_again(monkeypatch, error, calls):
    monkeypatch.setattr(remote, "PATIENCE", -1)
    made = []

    def call():
        made.append(1)
        raise error

    with pytest.raises(ConnectionError, match=f"me/toy: the Hub keeps failing .{error}.; try again later"):
        remote.attempt("me/toy", call, waits=(0, 0))
    assert len(made) == calls


def test_equal_tensors_and_metadata_make_equal_files(tmp_path):
    metadata = {name: f'{{"{name}": "ü"}}' for name in "abcdef"}
    tensors = {name: torch.arange(4.0) for name in "xyz"}
    written = []
    for number in range(6):
        path = tmp_path / f"{number}.safetensors"
        write_safetensors(path, tensors, dict(reversed(metadata.items())) if number % 2 else metadata)
        written.append(path.read_bytes())
    assert len(set(written)) == 1
    again, found = read_safetensors(tmp_path / "0.safetensors")
    assert found == metadata
    assert all(torch.equal(again[name], tensor) for name, tensor in tensors.items())
