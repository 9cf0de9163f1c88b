"""`faceforensics` and `iper`: clips as folders of frames, a face or a body, for networks that paint frame after frame.

Papers: Rössler et al., "FaceForensics", 2018; Liu et al., "Liquid Warping GAN" (iPER), ICCV 2019; as used by Ren et
al., "Deep Image Spatial Transformation for Person Image Generation" (GFLA), CVPR 2020. Differences from its code: a
sample is a step of a clip by itself, and clips are resized by PyTorch; others in `face_structure`, `body_structure`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from geotrans.data import _guidance
from geotrans.data._clip_files import Frames, find_frames
from geotrans.data._example import SIDE, write_face, write_landmarks
from geotrans.data._files import Copies, Fit, Framing, framed, place_draws, sample_id
from geotrans.data._guidance import FaceStructure, Guidance
from geotrans.data._manifest import Manifest
from geotrans.data._reader import Reader
from geotrans.data.base import Dataset
from geotrans.data.synthface_clips import synthface_clips
from geotrans.data.synthpeople import synthpeople
from geotrans.ops.images import read_pixels, write_image
from geotrans.types import Condition, ConditionSpec, Sample, cat
from registry import register_dataset


class Clips(Dataset):
    """Frames of clips, each with the frame before it and with a reference.

    A clip gives a sample for each frame but its first, in order. `Sample.image` is (B, 2, 3, H, W), the frame before
    the wanted one and the reference, with a structure (B, 2, S, H, W); `truth` is the wanted frame. With `flip`, the
    second half of the indices are the mirror images of the first. An id is the wanted frame's path, without the suffix.

    With a `run` of several frames a sample wants them all, one after the other: `Sample.truth` is (B, run, 3, H, W) and
    the wanted structure (B, run, S, H, W). The rest of it is about the first of them.

    Args:
        run: frames that a sample wants.
        reach: the reference is drawn from so many frames before the wanted one; 0 for the first of the clip.
        starts: share of the samples in which the reference stands for the frame before too.
        manifest: by which files are checked when they are first read.
    """

    def __init__(
        self,
        frames: Frames,
        guidance: Guidance,
        framing: Framing,
        copies: Copies,
        seed: int,
        *,
        run: int = 1,
        reach: int = 0,
        starts: float = 0.0,
        manifest: Manifest | None = None,
    ) -> None:
        self.frames, self.guidance, self.framing, self.copies, self.seed = frames, guidance, framing, copies, seed
        self.run, self.reach, self.starts = run, reach, starts
        self.manifest = manifest
        self.wanted = frames.runs(run)
        self.spec = ConditionSpec(structure=guidance.channels)
        self.resolution = framing.resolution

    def __len__(self) -> int:
        return len(self.copies)

    def batch(self, indices: Sequence[int]) -> Sample:
        """The samples at `indices`.

        Raises:
            IndexError: an index is negative or not below the dataset's length.
            ValueError: a file is broken, or frames of a clip have different sizes; the message has the path.
        """
        chosen = [self.copies[index] for index in indices]
        draws = place_draws(self.seed, 4, [index % self.copies.plain for index in indices]).tolist()
        pairs = zip(chosen, draws, strict=True)
        return cat([self._step(self.wanted[number], mirrored, *two) for (number, mirrored), two in pairs])

    def _step(self, row: int, mirrored: bool, how_far: float, whether: float) -> Sample:
        first = self.frames.firsts[row]
        reference = row - 1 - int(how_far * min(self.reach, row - first)) if self.reach else first
        before = reference if whether < self.starts else row - 1
        rows = sorted({before, reference, *range(row, row + self.run)})
        images, structures = self._shots(rows, mirrored)
        seen, start = [rows.index(before), rows.index(reference)], rows.index(row)
        wanted = start if self.run == 1 else slice(start, None)
        return Sample(
            image=images[seen][None],
            source=Condition(structure=structures[seen][None]),
            target=Condition(structure=structures[wanted][None]),
            truth=images[wanted][None],
            id=(sample_id(self.frames.names[row], mirrored),),
        )

    def _shots(self, rows: Sequence[int], mirrored: bool) -> tuple[Tensor, Tensor]:
        """Frames of one clip, (N, 3, R, R), and their structures (N, S, R, R)."""
        paths, places = [self.frames.paths[row] for row in rows], [self.frames.places[row] for row in rows]
        if self.manifest is not None:
            for path in (*paths, *(place.path for place in places)):
                self.manifest.check(path)
        pixels = [read_pixels(path) for path in paths]
        for path, picture in zip(paths, pixels, strict=True):
            if picture.shape != pixels[0].shape:
                sizes = [" x ".join(map(str, shape[1:])) for shape in (pixels[0].shape, picture.shape)]
                raise ValueError(
                    f"{path}: expected {sizes[0]} pixels as in {paths[0].name}, got {sizes[1]}; the frames of a clip "
                    "must have one size"
                )
        middle = torch.full((2,), 0.5)
        shots = [framed(*pair, self.framing, middle, mirrored) for pair in zip(pixels, paths, strict=True)]
        found = [self.guidance.points(place) for place in places]
        points = torch.stack([window.units(own) for own, (_, window) in zip(found, shots, strict=True)])
        points = self.guidance.mirrored(points) if mirrored else points
        images = torch.cat([image for image, _ in shots])
        return images, self.guidance.draw(points, images)


@register_dataset("FaceForensics, or any clips of faces: folders of frames with 68 landmarks", "as the clips'")
def faceforensics(
    root: str = "",
    split: str = "train",
    resolution: int = 256,
    seed: int = 0,
    pictures: str = "",
    landmarks: str = "",
    structure: FaceStructure = "smooth",
    frames: int = 30,
    starts: float = 0.0,
    run: int = 1,
    fit: Fit = "square",
    passes: int = 1,
    flip: bool = True,
    skip_broken: bool = False,
) -> Clips:
    """Clips of faces, with the face structures that GFLA's animation reads, drawn from landmarks.

    Args:
        root: the folder. The clips' folders are in it, or in DIR/train and DIR/test (or DIR/val), in other folders or
            not; a clip is a folder of frames, in the order of their numbers or names.
        split: train, val or test. Where there is only one of val and test, it stands for both; where there is no
            DIR/train, the clips are shuffled with a seed of its own, and 5 % of them each are held out.
        resolution: height and width.
        seed: decides which frames are references.
        pictures: folder inside `root` to look for clips in, which may have {split} in its name; `root` if empty.
        landmarks: folder inside `root` with landmarks, which may have {split} in its name; if empty, DIR/landmarks,
            as `geotrans prepare` writes it, or where there is no such folder, the clips' own. A frame's landmarks are
            NAME.npz, .csv or .txt (see `read_landmarks`), a clip's are OpenFace's CLIP.csv, with a row a frame; both
            with the path of the frame or clip from `pictures` on. Of GFLA's folders: pictures={split}_data,
            landmarks={split}_keypoint.
        structure: "smooth", see `face_structure`, or "official", as GFLA's own weights read it, see
            `official_face_structure`; this one needs scikit-image.
        frames: training's references are up to `frames` - 1 frames before the wanted one: as far as a reference can be
            from a frame where long clips are cut into pieces of so many. 0: always the clip's first frame, as outside
            of training.
        starts: share of the samples in which the reference stands for the frame before too, as when an animation
            starts.
        run: frames that a sample wants, one after the other; every clip has more.
        fit: how a frame becomes a square, see `Framing`.
        passes: how often an epoch of training goes through the clips, each time with other references.
        flip: training sees every clip mirrored too.
        skip_broken: leave out, with a warning, frames that cannot be read, those without landmarks, and clips of which
            too few frames are left.

    Raises:
        FileNotFoundError: a folder is not there, or a frame has no landmarks.
        ValueError: a frame is in no clip, a clip has too few frames, or an unknown option.
    """
    expected = "DIR/CLIP/0001.png with DIR/CLIP/0001.npz, ..., or DIR/train/CLIP/0001.png, ..."
    reader = Reader("faceforensics", root, expected, split, seed, flip, skip_broken=skip_broken)
    sampling = _Sampling(frames, starts, run, passes)
    return _clips(reader, _guidance.Face(structure), Framing(resolution, fit=fit), (pictures, landmarks), sampling)


@register_dataset("iPER, or any clips of persons: folders of frames with OpenPose's joints", "as the clips'")
def iper(
    root: str = "",
    split: str = "train",
    resolution: int = 256,
    seed: int = 0,
    pictures: str = "",
    joints: str = "",
    pose_size: float = 6.0,
    frames: int = 30,
    starts: float = 0.0,
    run: int = 1,
    fit: Fit = "square",
    passes: int = 1,
    flip: bool = True,
    skip_broken: bool = False,
) -> Clips:
    """Clips of persons, with the structures of 17 joints and a figure that GFLA's dance reads; see `body_structure`.

    Args:
        joints: folder inside `root` with joints, which may have {split} in its name; the clips' own if empty. A frame's
            are OpenPose's NAME_keypoints.json or NAME.json, with 18 or 25 joints; a clip's are a list of PATN's,
            CLIP.csv, in pixels of the frames; both with the path of the frame or clip from `pictures` on. Of GFLA's
            folders: pictures={split}_256/train_A, joints={split}_256/train_alphapose.
        pose_size: standard deviation of a joint's Gaussian, in pixels of the result.

    The other arguments, and errors, as for `faceforensics`.
    """
    expected = "DIR/CLIP/0001.png with DIR/CLIP/0001_keypoints.json, ..., or DIR/train/CLIP/0001.png, ..."
    reader = Reader("iper", root, expected, split, seed, flip, skip_broken=skip_broken)
    sampling = _Sampling(frames, starts, run, passes)
    return _clips(reader, _guidance.Body(pose_size), Framing(resolution, fit=fit), (pictures, joints), sampling)


@dataclass(frozen=True, slots=True)
class _Sampling:
    """How samples are made of clips, as the datasets' options say."""

    frames: int
    starts: float
    run: int
    passes: int

    def check(self, dataset: str) -> None:
        if self.frames < 2 and self.frames != 0:
            raise ValueError(f"{dataset}: expected 2 frames or more, or 0, got {self.frames}")
        if not 0 <= self.starts <= 1:
            raise ValueError(f"{dataset}: expected starts to be a share in [0, 1], got {self.starts}")
        if self.run < 1:
            raise ValueError(f"{dataset}: expected a run of 1 frame or more, got {self.run}")


def _clips(
    reader: Reader, guidance: Guidance, framing: Framing, folders: tuple[str, str], sampling: _Sampling
) -> Clips:
    sampling.check(reader.dataset)
    found = find_frames(reader, guidance, *folders, sampling.run + 1)
    copies = reader.copies(len(found.runs(sampling.run)), sampling.passes)
    return Clips(
        found,
        guidance,
        framing,
        copies,
        reader.seed,
        run=sampling.run,
        reach=sampling.frames - 1 if sampling.frames and reader.train else 0,
        starts=sampling.starts,
        manifest=reader.manifest,
    )


def example_faceforensics(root: Path) -> None:
    """Write a folder as `faceforensics` reads it, in miniature: drawn faces, six frames a clip.

    Three clips have a file of landmarks for each frame, and the last of every split has OpenFace's table.
    """
    for split, clips, first in (("train", 3, 0), ("test", 2, 3)):
        dataset = synthface_clips(split, SIDE, frames=6, references=1)
        for clip in range(clips):
            sample = dataset.clip(clip)
            assert sample.source is not None
            assert sample.source.landmarks is not None
            assert sample.target is not None
            assert sample.target.landmarks is not None
            assert sample.truth is not None
            folder = root / split / f"speaker_{first + clip}"
            images = torch.cat([sample.image[:1], sample.truth])
            points = torch.cat([sample.source.landmarks[:1], sample.target.landmarks])
            for number, (image, own) in enumerate(zip(images, points, strict=True)):
                write_face(folder / f"{folder.name}_{number}.png", image)
                if clip < clips - 1:
                    write_landmarks(folder / f"{folder.name}_{number}.npz", own)
            if clip == clips - 1:
                _write_openface(root / split / f"{folder.name}.csv", (points + 1) * SIDE / 2 - 0.5)


def _write_openface(path: Path, points: Tensor) -> None:
    """Points (T, 68, 2) in pixels as OpenFace's table of a clip."""
    header = ["frame", "success", *(f"{axis}_{point}" for axis in "xy" for point in range(points.shape[1]))]
    rows = [[str(row + 1), "1", *(f"{value:.3f}" for value in own.T.flatten())] for row, own in enumerate(points)]
    path.write_text("\n".join(", ".join(cells) for cells in (header, *rows)) + "\n", encoding="utf-8")


def example_iper(root: Path) -> None:
    """Write a folder as `iper` reads it, in miniature: drawn persons, eight frames a clip, with a list of joints each.

    What is drawn changes its scene from frame to frame, and the person once, as a clip does not.
    """
    for split, clips, first in (("train", 3, 0), ("test", 2, 3)):
        dataset = synthpeople(split, SIDE)
        for clip in range(clips):
            indices = range(8 * clip, 8 * clip + 8)
            images, (joints, _) = dataset.batch(indices).image, dataset.joints(indices)
            pixels = ((joints + 1) * SIDE / 2 - 0.5).round().clamp(0, SIDE - 1).long().permute(0, 2, 1).tolist()
            folder = root / split / f"dancer_{first + clip}"
            lines = ["name:keypoints_y:keypoints_x"]
            for number, (image, (x, y)) in enumerate(zip(images, pixels, strict=True)):
                name = f"{folder.name}_{number}.png"
                write_image(folder / name, image)
                lines.append(f"{name}: {y}: {x}")
            folder.with_name(f"{folder.name}.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
