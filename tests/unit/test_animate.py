"""`geotrans animate` through the command: what it reads, what it feeds back, what it writes, and what it says."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

import geotrans.animate
from geotrans import create_model, save_folder
from geotrans.animate import SWEEP, animate
from geotrans.base import Generator
from geotrans.cli import main
from geotrans.data import driving
from geotrans.data.driving import placed, read_driving
from geotrans.data.synthface_clips import synthface_clips
from geotrans.ops.clips import read_clip, write_clip
from geotrans.ops.face_structure import CHANNELS, face_structure
from geotrans.ops.images import from_uint8, read_image, write_image
from geotrans.ops.official_face import official_face_structure
from geotrans.types import Condition, ConditionSpec, Translation

SIDE = 32
FACE = ConditionSpec(structure=CHANNELS, needs_source=True)
LEVEL = 2 / 255


@dataclass(frozen=True)
class ToyConfig:
    resolution: int = SIDE
    width: int = 1
    condition: ConditionSpec = FACE


class Counter(Generator):
    """A model of clips: the frame before, one level brighter; it keeps what it was called with."""

    references = 2

    def __init__(self, cfg: ToyConfig) -> None:
        super().__init__(cfg)
        self.calls: list[tuple[Tensor, Tensor, Tensor]] = []

    def forward(self, image: Tensor, target: Condition, source: Condition | None = None) -> Translation:
        assert image.shape == (1, 2, 3, SIDE, SIDE)
        assert source is not None
        assert source.structure is not None
        assert target.structure is not None
        self.calls.append((image, target.structure, source.structure))
        return Translation((image[:, 0] + LEVEL).clamp(-1, 1))


class Grey(Generator):
    """A grey picture of the first column's value; or, with structures, of the first channel's mean."""

    def forward(self, image: Tensor, target: Condition, source: Condition | None = None) -> Translation:
        if self.cfg.condition.structure:
            assert source is not None
            assert target.structure is not None
            level = target.structure[:, 0].mean()
        else:
            level = self.cfg.condition.vector(target, 1)[0, 0]
        grey = (2 * level - 1).expand_as(image)
        return Translation(grey, None, image, grey - image, torch.ones_like(image[:, :1]))


def shown(monkeypatch: pytest.MonkeyPatch, model: Generator) -> Generator:
    """The command's model, whatever is asked for."""
    monkeypatch.setattr(geotrans.animate, "create_model", lambda name, pretrained: model)
    return model


def levels(path: Path) -> list[int]:
    """The level of a pixel in each frame of a file or folder."""
    return [int(frame[0, 3, 3]) for frame in read_clip(path).frames]


def landmark_file(path: Path, points: Tensor, side: int = SIDE) -> Path:
    np.savez(path, ((points + 1) * side / 2 - 0.5).numpy())
    return path


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`face.png` with `face.npz`, and `points/` with landmarks in frames 8, 9, 10, 11."""
    folder = tmp_path_factory.mktemp("clip")
    sample = synthface_clips("test", SIDE, references=1, frames=5).clip(0)
    write_image(folder / "face.png", sample.image[0])
    landmark_file(folder / "face.npz", sample.source.landmarks[0])
    (folder / "points").mkdir()
    for number, points in enumerate(sample.target.landmarks, start=8):
        landmark_file(folder / "points" / f"{number}.npz", points)
    return folder


def run(capsys: pytest.CaptureFixture[str], *arguments: object) -> None:
    main(["animate", "--model", "toy", "--crop", "whole", *map(str, arguments)])
    capsys.readouterr()


def fails(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    """The one line that the command ends with."""
    with pytest.raises(SystemExit) as stopped:
        main(["animate", "--model", "toy", "--crop", "whole", *map(str, arguments)])
    assert stopped.value.code == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert line.startswith("geotrans animate: ")
    return line


# What a model of clips sees


def test_each_frame_is_made_of_the_one_before(monkeypatch, capsys, clip, tmp_path):
    shown(monkeypatch, Counter(ToyConfig()))
    write_image(tmp_path / "grey.png", torch.zeros(3, SIDE, SIDE))
    (tmp_path / "grey.npz").write_bytes((clip / "face.npz").read_bytes())
    run(capsys, "--source", tmp_path / "grey.png", "--driving", clip / "points", "-o", tmp_path / "frames")
    assert levels(tmp_path / "frames") == [129, 130, 131, 132]  # the source is 128


def test_a_model_of_clips_gets_the_reference_and_both_structures(monkeypatch, capsys, clip, tmp_path):
    model = shown(monkeypatch, Counter(ToyConfig()))
    run(capsys, "--source", clip / "face.png", "--driving", clip / "points", "--fit", "place", "-o", tmp_path / "f")
    source = read_image(clip / "face.png")
    own = 2 * (driving.read_landmarks(clip / "face.npz") + 0.5) / SIDE - 1
    first = face_structure(own[None], SIDE, SIDE)
    for number, (image, wanted, known) in enumerate(model.calls):
        torch.testing.assert_close(image[:, 1], source)
        torch.testing.assert_close(image[:, 0], (source + number * LEVEL).clamp(-1, 1), atol=1e-5, rtol=0)
        torch.testing.assert_close(known[:, 1], first)
        before = first if number == 0 else model.calls[number - 1][1]
        torch.testing.assert_close(known[:, 0], before)
        assert not torch.equal(wanted, known[:, 1])
    assert len(model.calls) == 4


def test_official_weights_get_official_structures_with_the_sources_backdrop(monkeypatch, capsys, clip, tmp_path):
    model = shown(monkeypatch, Counter(ToyConfig()))
    options = ("--structure", "official", "--fit", "none")
    for number in range(8, 12):
        write_image(tmp_path / "points" / f"{number}.png", torch.zeros(3, SIDE, SIDE))
        (tmp_path / f"points/{number}.npz").write_bytes((clip / f"points/{number}.npz").read_bytes())
    run(capsys, "--source", clip / "face.png", "--driving", tmp_path / "points", *options, "-o", tmp_path / "f")
    source = read_image(clip / "face.png")
    for number, (_, wanted, known) in enumerate(model.calls):
        for structure, path in ((wanted, clip / f"points/{8 + number}.npz"), (known[:, 1], clip / "face.npz")):
            own = 2 * (driving.read_landmarks(path) + 0.5) / SIDE - 1
            torch.testing.assert_close(structure, official_face_structure(own[None], SIDE, SIDE, source))
    assert len(model.calls) == 4
    shown(monkeypatch, Grey(ToyConfig(condition=ConditionSpec(attributes=("Smiling",)))))
    told = fails(capsys, "--source", clip / "face.png", "--sweep", "Smiling", *options[:2], "-o", tmp_path / "g")
    assert "--structure official: toy reads no face structure; leave the option out" in told


def test_the_library_function_gives_what_the_model_paints_at_the_size_of_the_source():
    torch.manual_seed(0)
    model = create_model("gfla_face_64", width=4, flow_width=4).eval()
    points = synthface_clips("test", 64, references=1, frames=4).clip(1)
    wanted = [Condition(structure=points.target.structure[row, None]) for row in range(3)]
    known = Condition(structure=points.source.structure[:1])
    frames = list(animate(model, points.image[:1], wanted, known))
    with torch.inference_mode():
        once = model(points.image[:1], wanted[0], known).image  # at the start one picture stands for both
    torch.testing.assert_close(frames[0], once)
    image = torch.stack([frames[1], points.image[:1]], 1)
    both = Condition(structure=torch.stack([wanted[1].structure, known.structure], 1))
    with torch.inference_mode():
        torch.testing.assert_close(frames[2], model(image, wanted[2], both).image)
    large = torch.nn.functional.interpolate(points.image[:1], 96)
    assert next(animate(model, large, wanted, known)).shape == (1, 3, 96, 96)
    with pytest.raises(ValueError, match="also reads the source's structure"):
        next(animate(model, large, wanted))


def test_a_published_model_animates_the_built_in_clip(capsys, tmp_path):
    torch.manual_seed(0)
    model = create_model("gfla_face_64", width=4, flow_width=4)
    save_folder(model, tmp_path / "model", arch="gfla_face_64", tag="tiny")
    name = f"local-dir:{tmp_path / 'model'}"
    main(["animate", "--model", name, "--clip", "2", "--fps", "20", "-o", str(tmp_path / "out.gif")])
    assert "24/24" in capsys.readouterr().err
    with Image.open(tmp_path / "out.gif") as file:
        assert file.size == (64, 64)
        assert file.info["duration"] == 50
        assert file.info["loop"] == 0
    assert len(read_clip(tmp_path / "out.gif").frames) == 24


# Other models


def test_a_table_drives_columns(monkeypatch, capsys, clip, tmp_path):
    shown(monkeypatch, Grey(ToyConfig(condition=ConditionSpec(aus=("AU12", "AU25")))))
    (tmp_path / "a.csv").write_text("frame, AU12_r, AU99_r\n1, 0.0, 9\n2, 2.5, 9\n3, 5.0, 9\n")
    run(capsys, "--source", clip / "face.png", "--driving", tmp_path / "a.csv", "-o", tmp_path / "out")
    assert levels(tmp_path / "out") == [0, 128, 255]
    (tmp_path / "b.csv").write_text("AU25\n0\n1\n")
    run(
        *(capsys, "--source", clip / "face.png", "--driving", tmp_path / "b.csv", "--set", "AU12=0.2"),
        *("--size", 8, "-o", tmp_path / "still"),
    )
    assert levels(tmp_path / "still") == pytest.approx([51, 51], abs=2)
    assert read_clip(tmp_path / "still").frames[0].shape == (3, 8, 8)


def test_a_sweep_goes_there_and_back(monkeypatch, capsys, clip, tmp_path):
    shown(monkeypatch, Grey(ToyConfig(condition=ConditionSpec(attributes=("Smiling",)))))
    run(capsys, "--source", clip / "face.png", "--sweep", "Smiling", "-o", tmp_path / "out")
    found = levels(tmp_path / "out")
    assert len(found) == SWEEP
    assert found[0] == found[-1] == 0
    assert max(found) > 240
    assert found == found[::-1]


def test_maps_drive_other_structures(monkeypatch, capsys, clip, tmp_path):
    shown(monkeypatch, Grey(ToyConfig(condition=ConditionSpec(structure=2, needs_source=True))))
    write_image(tmp_path / "body.png", torch.zeros(3, SIDE, SIDE))
    (tmp_path / "maps").mkdir()
    for name, value in (("body", 0.5), ("maps/9", 0.0), ("maps/10", 1.0)):
        np.savez(tmp_path / f"{name}.npz", np.full((2, 16, 16), value, dtype=np.float32))
    run(capsys, "--source", tmp_path / "body.png", "--driving", tmp_path / "maps", "-o", tmp_path / "out")
    assert levels(tmp_path / "out") == [0, 255]  # frame 9 is before frame 10
    told = fails(capsys, "--source", clip / "face.png", "--driving", clip / "points", "-o", tmp_path / "other")
    assert "structure of 2 channels, and landmarks make one of 16" in told


# Driving clips


def openface(path: Path, clips: Tensor) -> Path:
    """A table as OpenFace writes it, of landmarks (T, 68, 2)."""
    header = ", ".join(["frame", "success", *(f"{axis}_{i}" for axis in "xy" for i in range(68))])
    rows = [f"{n}, 1, " + ", ".join(f"{v:.4f}" for v in points.T.flatten().tolist()) for n, points in enumerate(clips)]
    path.write_text("\n".join([header, *rows]) + "\n")
    return path


def test_landmarks_of_a_table_and_of_files_are_the_same(tmp_path, clip):
    files = read_driving(clip / "points", FACE)
    table = read_driving(openface(tmp_path / "clip.csv", files.landmarks), FACE)
    assert len(files) == len(table) == 4
    assert not files.framed
    torch.testing.assert_close(table.landmarks, files.landmarks, atol=1e-3, rtol=0)


def test_pictures_beside_landmarks_tell_their_size(tmp_path):
    points = torch.rand(68, 2) * 2 - 1
    np.savez(tmp_path / "0.npz", ((points + 1) * torch.tensor([40.0, 20.0]) / 2 - 0.5).numpy())
    write_image(tmp_path / "0.png", torch.zeros(3, 20, 40))
    found = read_driving(tmp_path, FACE)
    assert found.framed
    torch.testing.assert_close(found.landmarks[0], points)


def test_landmarks_are_looked_for_in_pictures(monkeypatch, tmp_path):
    points = torch.rand(2, 136)
    answers = {0: points[0], 255: points[1], 128: torch.zeros(136)}

    def find(images: Tensor) -> Tensor:
        return torch.stack([answers[int(image[0, 0, 0])] for image in images])

    entries = {name: SimpleNamespace(factory=lambda: find) for name in driving.FINDERS}
    monkeypatch.setattr(driving, "FEATURES", entries)
    frames = [torch.full((1, 3, 8, 8), level) for level in (-1.0, 1.0)]
    write_clip(tmp_path / "clip.gif", frames, 10)
    found = read_driving(tmp_path / "clip.gif", FACE)
    assert found.framed
    assert found.fps == 10
    assert torch.equal(found.landmarks, points.view(2, 68, 2))
    write_clip(tmp_path / "lost", [*frames, torch.zeros(1, 3, 8, 8)], 10)
    with pytest.raises(ValueError, match="no face found in frame 2 of 3"):
        read_driving(tmp_path / "lost", FACE)


def test_place_lays_the_first_frame_on_the_source_and_keeps_the_motion():
    torch.manual_seed(0)
    source = torch.randn(68, 2)
    clip = 7 * torch.stack([source, source + 0.1 * torch.randn(68, 2)]) + torch.tensor([30.0, -9.0])
    moved = placed(clip, source, "place")
    torch.testing.assert_close(moved[0], source, atol=1e-5, rtol=0)
    torch.testing.assert_close(moved[1] - moved[0], (clip[1] - clip[0]) / 7, atol=1e-5, rtol=0)


def test_motion_keeps_the_shape_of_the_source():
    torch.manual_seed(0)
    source, other = torch.randn(68, 2), torch.randn(68, 2)
    clip = torch.stack([other, other + 0.1])
    moved = placed(clip, source, "motion")
    torch.testing.assert_close(moved[0], source)
    shift = (moved[1] - source)[0]
    torch.testing.assert_close(moved[1] - source, shift.expand(68, 2))
    assert torch.equal(placed(clip, source, "none"), clip)


# Clips in files


@pytest.mark.parametrize("name", ["clip.gif", "clip.webp", "clip"])
def test_clips_are_read_back_as_they_were_written(name, tmp_path):
    frames = [torch.full((3, 16, 24), value) for value in (-1.0, -0.2, 0.4, 1.0)]
    assert write_clip(tmp_path / name, iter(frames), 20) == 4
    back = read_clip(tmp_path / name)
    assert back.fps == (None if name == "clip" else 20)
    for frame, got in zip(frames, back.frames, strict=True):
        torch.testing.assert_close(from_uint8(got), frame, atol=2.5 / 127, rtol=0)
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_videos_need_imageio_and_say_so(monkeypatch, capsys, clip, tmp_path):
    shown(monkeypatch, Counter(ToyConfig()))
    monkeypatch.setitem(sys.modules, "imageio_ffmpeg", None)
    told = fails(capsys, "-o", tmp_path / "out.mp4")
    assert "pip install 'geotrans-gan[video]', or use a .gif" in told


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # imageio leaves pipes to the collector
def test_videos_are_read_back(tmp_path):
    pytest.importorskip("imageio_ffmpeg")
    frames = [torch.full((3, 32, 32), value) for value in (-0.8, 0.0, 0.8)]
    write_clip(tmp_path / "clip.mp4", frames, 10)
    back = read_clip(tmp_path / "clip.mp4")
    assert back.fps == 10
    assert [round(float(from_uint8(frame).mean()), 1) for frame in back.frames] == pytest.approx(
        [-0.8, 0, 0.8], abs=0.1
    )


def test_nothing_is_left_of_a_clip_that_breaks_off(tmp_path):
    def broken():
        yield torch.zeros(3, 8, 8)
        raise RuntimeError("no more")

    (tmp_path / "out.gif").write_bytes(b"old")
    for name in ("out.gif", "folder"):
        with pytest.raises(RuntimeError, match="no more"):
            write_clip(tmp_path / name, broken(), 10, overwrite=True)
    assert [path.name for path in tmp_path.iterdir()] == ["out.gif"]
    assert (tmp_path / "out.gif").read_bytes() == b"old"


def test_what_is_there_is_replaced_only_when_asked(monkeypatch, capsys, clip, tmp_path):
    shown(monkeypatch, Counter(ToyConfig()))
    given = ("--source", clip / "face.png", "--driving", clip / "points")
    for name in ("out.gif", "out"):
        run(capsys, *given, "-o", tmp_path / name)
        assert "exists; add --overwrite" in fails(capsys, *given, "-o", tmp_path / name)
    (tmp_path / "out" / "old.txt").write_text("gone")
    run(capsys, *given, "-o", tmp_path / "out", "--overwrite")
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [f"0000{n}.png" for n in range(4)]


# Mistakes


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("--driving", "{clip}/points"), "name it with --source"),
        (("--source", "{clip}/none.png", "--driving", "{clip}/points"), "none.png: no such file"),
        (("--source", "{clip}/face.png", "--driving", "{clip}/none"), "none: no such file or folder"),
        (("--source", "{clip}/face.png", "--driving", "{clip}/points", "--fit", "none"), "how large its pictures are"),
        (("--source", "{clip}/face.png", "--driving", "{clip}/points", "--set", "AU12=1"), "no column 'AU12'"),
        (("--source", "{clip}/face.png", "--driving", "{clip}/points", "--set", "AU12=x"), "COLUMN=VALUE"),
        (("--source", "{clip}/face.png", "--sweep", "AU12"), "nothing that the model reads"),
        (("--clip", "100"), "clips 0 to 82, got 100"),
        (("--size", "0"), "--size: expected at least 1"),
        (("--fps", "60"), "up to 50 frames a second in a GIF"),
        (("--fps", "0"), "frames a second"),
        (("--device", "abacus"), "--device abacus"),
    ],
)
def test_mistakes_are_one_line(monkeypatch, capsys, clip, tmp_path, arguments, told):
    shown(monkeypatch, Counter(ToyConfig()))
    given = [argument.format(clip=clip) for argument in arguments]
    assert told in fails(capsys, *given, "-o", tmp_path / "out.gif")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("name", "told"),
    [("out.txt", "expected .avi, .gif"), ("no/out.gif", "there is no folder"), ("file", "is a file")],
)
def test_places_that_cannot_be_written_to_are_named(monkeypatch, capsys, tmp_path, name, told):
    shown(monkeypatch, Counter(ToyConfig()))
    (tmp_path / "file").write_text("")
    assert told in fails(capsys, "-o", tmp_path / name)


def test_a_folder_without_write_permission_is_named_before_any_frame(monkeypatch, capsys, tmp_path):
    model = Counter(ToyConfig())
    shown(monkeypatch, model)
    monkeypatch.setattr("os.access", lambda path, mode: path != tmp_path)  # root may write anywhere
    assert f"you may not write to {tmp_path}; choose another place" in fails(capsys, "-o", tmp_path / "out.gif")
    assert not model.calls


def test_an_error_between_frames_has_a_line_of_its_own(monkeypatch, capsys, clip, tmp_path):
    class Broken(Counter):
        def forward(self, image, target, source=None):
            made = super().forward(image, target, source)
            return made if len(self.calls) < 2 else Translation(made.image * torch.nan)

    shown(monkeypatch, Broken(ToyConfig()))
    with pytest.raises(SystemExit) as stop:
        main(["animate", "--model", "toy", "--size", str(SIDE), "-o", str(tmp_path / "out.gif")])
    assert stop.value.code == 2
    assert capsys.readouterr().err.splitlines()[-1].startswith("geotrans animate: the image holds NaN")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("AU12\n2\n", "AU12: expected values from 0 to 1"),
        ("AU12\nnan\n", "line 2: AU12: expected a number"),
        ("AU12_r\n6\n", "from 0 to 5"),
        ("a\n1\n", "columns of the"),
    ],
)
def test_tables_with_mistakes_are_named(tmp_path, text, told):
    (tmp_path / "clip.csv").write_text(text)
    with pytest.raises(ValueError, match=told):
        read_driving(tmp_path / "clip.csv", ConditionSpec(aus=("AU12",)))


def test_faces_that_were_lost_and_files_that_are_broken_are_named(tmp_path):
    table = openface(tmp_path / "clip.csv", torch.rand(2, 68, 2))
    table.write_text(table.read_text().replace("\n1, 1,", "\n1, 0,"))
    with pytest.raises(ValueError, match=r"clip.csv, line 3: OpenFace found no face"):
        read_driving(table, FACE)
    (tmp_path / "f").mkdir()
    (tmp_path / "f" / "0.npz").write_bytes(b"nothing")
    with pytest.raises(ValueError, match=r"0.npz: cannot be read as an array: not a whole NPZ file"):
        read_driving(tmp_path / "f", FACE)
    np.savez_compressed(tmp_path / "f" / "0.npz", np.zeros((68, 2)))
    whole = (tmp_path / "f" / "0.npz").read_bytes()
    (tmp_path / "f" / "0.npz").write_bytes(whole.replace(whole[60:80], b"\xff" * 20, 1))
    with pytest.raises(ValueError, match=r"0.npz: cannot be read as an array"):
        read_driving(tmp_path / "f", FACE)
    (tmp_path / "broken.gif").write_bytes(b"GIF89a")
    with pytest.raises(ValueError, match=r"broken.gif: "):
        read_clip(tmp_path / "broken.gif")
