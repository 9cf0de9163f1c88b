"""`deepfashion` and `market1501`: pairs of pictures of one person in two poses, by PATN's lists, as GFLA uses them.

Papers: Zhu et al., "Progressive Pose Attention Transfer for Person Image Generation", CVPR 2019; Ren et al., "Deep
Image Spatial Transformation for Person Image Generation", CVPR 2020. Differences from the official code: pictures are
resized by PyTorch, not by Pillow; a flip exchanges left and right joints too.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor

from geotrans.data._files import Copies, pictures_below, pictures_in, place_draws, sample_id
from geotrans.data._keypoints import JOINTS, read_keypoints, read_pairs
from geotrans.data._posing import SOURCE, TARGET, Posing, Shares
from geotrans.data._reader import Reader
from geotrans.data.base import Dataset
from geotrans.ops.images import read_pixels, resize, write_image
from geotrans.ops.poses import Style, stick_figure
from geotrans.types import Condition, ConditionSpec, Sample
from registry import register_dataset

_LOG = logging.getLogger(__name__)
FASHION_FRAME = (256, 176)
MARKET_FRAME = (128, 64)
_FASHION_LISTS = ("fasion-resize", "fasion", "fashion-resize", "fashion")  # PATN's and GFLA's spelling first
_IN_SHOP = ("img_highres", "img")


class PosePairs(Dataset):
    """A picture of a person, `image`, and another of the same person, `truth`, with maps of the joints of both.

    With `flip`, the second half of the indices are the mirror images of the first. An id is FROM_2_TO, of the names of
    the two pictures, as GFLA calls its results.

    Args:
        names: of all pictures with key points, in a pair or not.
        paths: a file a name.
        joints: (N, 18, 2) key points a name, in pixels; NaN in what is missing.
        pairs: for each pair the rows of its pictures.

    Attributes:
        width: of the images; `resolution` is their height.
    """

    def __init__(
        self,
        names: Sequence[str],
        paths: Sequence[Path],
        joints: Tensor,
        pairs: Sequence[tuple[int, int]],
        posing: Posing,
        copies: Copies,
        seed: int,
    ) -> None:
        self.names, self.paths, self.joints, self.pairs = tuple(names), tuple(paths), joints, torch.tensor(pairs)
        self.posing, self.copies, self.seed = posing, copies, seed
        self.spec = ConditionSpec(structure=JOINTS)
        self.resolution, self.width = posing.height, posing.width

    def __len__(self) -> int:
        return len(self.copies)

    def batch(self, indices: Sequence[int]) -> Sample:
        """The samples at `indices`.

        Raises:
            IndexError: an index is negative or not below the dataset's length.
            ValueError: a file is broken; the message has its path.
        """
        chosen = [self.copies[index] for index in indices]
        rows = self.pairs[[pair for pair, _ in chosen]].tolist()
        mirrors = [mirrored for _, mirrored in chosen]
        sources, targets = place_draws(self.seed, 3, indices, 8).chunk(2, dim=1)
        image, shown = self._posed([pair[0] for pair in rows], mirrors, sources, SOURCE)
        truth, wanted = self._posed([pair[1] for pair in rows], mirrors, targets, TARGET)
        names = ["_2_".join(self.names[row] for row in pair) for pair in rows]
        return Sample(
            image=image,
            source=Condition(structure=shown),
            target=Condition(structure=wanted),
            truth=truth,
            id=tuple(sample_id(name, mirrored) for name, mirrored in zip(names, mirrors, strict=True)),
        )

    def pictures(self, rows: Sequence[int]) -> Tensor:
        """Some of the pictures by themselves, numbered as `names`, (B, 3, H, W): as they are, never distorted.

        Raises:
            ValueError: a file is broken; the message has its path.
        """
        return torch.cat([self.posing.picture(read_pixels(self.paths[row])) for row in rows])

    def _posed(
        self, rows: Sequence[int], mirrors: Sequence[bool], draws: Tensor, shares: Shares
    ) -> tuple[Tensor, Tensor]:
        posed = [
            self.posing(read_pixels(self.paths[row]), self.joints[row], draw, mirrored=mirrored, shares=shares)
            for row, mirrored, draw in zip(rows, mirrors, draws, strict=True)
        ]
        return torch.cat([image for image, _ in posed]), torch.cat([maps for _, maps in posed])


@register_dataset(
    "DeepFashion In-shop: 101,966 and 8,570 pairs of one person in two poses", "non-commercial research only"
)
def deepfashion(
    root: str = "",
    split: str = "train",
    resolution: int = 256,
    seed: int = 0,
    width: int = 0,
    pose: Style = "gaussians",
    pose_size: float = 6.0,
    frame: Sequence[int] = FASHION_FRAME,
    crop: bool = False,
    passes: int = 1,
    flip: bool = True,
    skip_broken: bool = False,
) -> PosePairs:
    """DeepFashion's In-shop Clothes Retrieval benchmark, with PATN's key points and pairs.

    Args:
        root: holds fasion-annotation-train.csv, fasion-pairs-train.csv and the same for test, GFLA's, or PATN's with
            fasion-resize in place of fasion; and the pictures: in the folders train and test, as the scripts of PATN
            and GFLA put them there, or as In-shop hands them out, in img_highres or img. A picture may have another
            suffix than in the lists.
        split: train, val or test. The papers have no pictures for validation: val is test.
        resolution: height; the whole picture is resized, whatever becomes of its aspect ratio.
        seed: has no effect: nothing is drawn.
        width: 0 makes a square, GFLA's 256 x 256; PATN's is 176.
        pose: how joints are drawn, see `pose_maps`: "gaussians" as GFLA, "points" as PATN's official weights know them.
        pose_size: of a Gaussian (GFLA: 6) or a disc, in pixels of the result, whatever its size.
        frame: height and width of the pictures that the key points were found in, PATN's 256 x 176; () for each
            picture's own.
        crop: the pictures are whole squares, In-shop's img: their middle columns are cut out, as PATN's script does.
        passes: how often an epoch of training goes through the pairs.
        flip: training sees every pair mirrored too, which PATN and GFLA leave.
        skip_broken: leave out, with a warning, pairs of which a picture is missing or cannot be read.

    Raises:
        FileNotFoundError: a folder, a list or a listed picture is not there.
        ValueError: a broken list, a pair without key points, or an unknown option.
    """
    expected = "DIR/train, DIR/test, DIR/fasion-annotation-train.csv, DIR/fasion-pairs-train.csv, ..."
    reader = Reader("deepfashion", root, expected, split, seed, flip, skip_broken=skip_broken)
    posing = Posing(resolution, width or resolution, frame, crop, pose, pose_size)
    where = reader.place((_side(reader), *_IN_SHOP), f"folder {_side(reader)}")
    pictures = _in_shop(where) if where.name in _IN_SHOP else pictures_in(where)
    return _read(reader, _FASHION_LISTS, pictures, posing, passes)


@register_dataset("Market-1501: 263,632 + 12,000 pairs, one person in two poses", "for research only")
def market1501(
    root: str = "",
    split: str = "train",
    resolution: int = 128,
    seed: int = 0,
    width: int = 0,
    pose: Style = "gaussians",
    pose_size: float = 6.0,
    frame: Sequence[int] = MARKET_FRAME,
    distort: bool = False,
    passes: int = 1,
    flip: bool = True,
    skip_broken: bool = False,
) -> PosePairs:
    """Market-1501, with PATN's key points and pairs.

    Args:
        root: holds market-annotation-train.csv, market-pairs-train.csv and the same for test; and the pictures, in the
            folders train and test, or bounding_box_train and bounding_box_test.
        seed: decides the distortions.
        width: 0 stands for half the height, as the pictures are.
        frame: height and width of the pictures that the key points were found in, Market-1501's 128 x 64; () for each
            picture's own.
        distort: training sees the source turned, shifted and scaled by up to 5 degrees, 5 pixels and 5 %, and the
            target turned and shifted by a fifth and a half of it, as GFLA; of each index once, so raise `passes`.

    The other arguments, and errors, as for `deepfashion`.
    """
    expected = "DIR/train, DIR/test, DIR/market-annotation-train.csv, DIR/market-pairs-train.csv, ..."
    reader = Reader("market1501", root, expected, split, seed, flip, skip_broken=skip_broken)
    distort = distort and reader.train
    posing = Posing(resolution, width or resolution // 2, frame, style=pose, size=pose_size, distort=distort)
    where = reader.place((_side(reader), f"bounding_box_{_side(reader)}"), f"folder {_side(reader)}")
    return _read(reader, ("market",), pictures_in(where), posing, passes)


def _side(reader: Reader) -> str:
    return "train" if reader.train else "test"


def _in_shop(folder: Path) -> dict[str, Path]:
    """In-shop's pictures by PATN's names: MEN/A_B/id_00000080/01_1_front is fashionMENA_Bid0000008001_1front."""
    found: dict[str, Path] = {}
    for name, path in pictures_below(folder).items():
        *kinds, item, shot = ("/" + name).split("/")
        number, _, view = shot.partition("_")
        found["".join(("fashion", *kinds, item.replace("_", ""), number, "_", view.replace("_", "")))] = path
    return found


def _read(reader: Reader, lists: Sequence[str], pictures: Mapping[str, Path], posing: Posing, passes: int) -> PosePairs:
    """The pairs of the split, less those to be skipped."""
    told, listed = (
        reader.place([f"{name}-{kind}-{_side(reader)}.csv" for name in lists], f"list of {what}")
        for kind, what in (("annotation", "key points"), ("pairs", "pairs"))
    )
    known = read_keypoints(told)
    pairs = read_pairs(listed, known, told)
    reader.existing(list(dict.fromkeys(name for pair in pairs for name in pair)), pictures)
    names = [name for name in known.rows if name in pictures]
    names = [names[row] for row in reader.readable([pictures[name] for name in names])]
    rows = {name: row for row, name in enumerate(names)}
    whole = [(rows[first], rows[second]) for first, second in pairs if first in rows and second in rows]
    if not whole:
        raise ValueError(f"{reader.dataset}: {reader.folder} has no pairs for the split {reader.split!r}")
    joints = known.joints[[known.rows[name] for name in names]]
    _check_frame(told, joints, posing.frame)
    copies = reader.copies(len(whole), passes)
    return PosePairs(names, [pictures[name] for name in names], joints, whole, posing, copies, reader.seed)


def _check_frame(told: Path, joints: Tensor, frame: Sequence[int]) -> None:
    """Warn of key points outside of the frame: they were found in pictures of another size."""
    if not frame:
        return
    outside = (joints >= joints.new_tensor([frame[1], frame[0]])).any(2).any(1)  # NaN, of a missing joint, is not
    if count := int(outside.sum()):
        _LOG.warning(
            "%s: %d of %d pictures have key points outside of the frame of %d x %d; if they are in pixels of the "
            "pictures themselves, set frame to []",
            *(told, count, len(joints), *frame),
        )


def example_deepfashion(root: Path) -> None:
    """Write a folder as `deepfashion` reads it, in miniature: drawn figures."""
    _write_example(root, "fasion-resize", "fashionWOMENTees_Tanksid0000{:04d}01_{}front", FASHION_FRAME, (64, 44))


def example_market1501(root: Path) -> None:
    """Write a folder as `market1501` reads it, in miniature: drawn figures."""
    _write_example(root, "market", "{:04d}_c{}s1_000151_01", MARKET_FRAME, MARKET_FRAME)


def _write_example(root: Path, lists: str, pattern: str, frame: tuple[int, int], size: tuple[int, int]) -> None:
    """Eight people for training and four for tests, each in two poses with a joint missing."""
    draw = torch.Generator().manual_seed(0)
    figure = torch.tensor(_FIGURE)
    for split, people in (("train", range(8)), ("test", range(8, 12))):
        told, listed = ["name:keypoints_y:keypoints_x"], ["from,to"]
        for person in people:
            places = (figure + 0.06 * torch.randn(2, JOINTS, 2, generator=draw)).clamp(-0.95, 0.95)
            places[:, person] = torch.nan
            colour = torch.rand(3, 1, 1, generator=draw)
            names = [pattern.format(person, shot) for shot in (1, 2)]
            for name, drawn in zip(names, stick_figure(places, *frame, line_width=0.04), strict=True):
                picture = resize(torch.maximum(drawn, colour - 0.5)[None], size)
                write_image(root / split / f"{name}.jpg", picture)
            pixels = ((places + 1) / 2 * torch.tensor(frame[::-1])).nan_to_num(nan=-1).long()
            for name, (x, y) in zip(names, pixels.permute(0, 2, 1).tolist(), strict=True):
                told.append(f"{name}.jpg: {y}: {x}")
            listed.append(",".join(f"{name}.jpg" for name in names))
        for kind, lines in (("annotation", told), ("pairs", listed)):
            (root / f"{lists}-{kind}-{split}.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")


_FIGURE = (  # a person who stands with the arms hanging, (x, y) a joint
    *[(0.0, -0.70), (0.0, -0.45)],
    *[(-0.30, -0.44), (-0.48, -0.2), (-0.55, 0.1), (0.31, -0.45), (0.46, -0.22), (0.55, 0.12)],
    *[(-0.21, 0.10), (-0.24, 0.45), (-0.26, 0.80), (0.22, 0.11), (0.24, 0.46), (0.25, 0.82)],
    *[(-0.06, -0.74), (0.06, -0.75), (-0.12, -0.72), (0.13, -0.73)],
)
