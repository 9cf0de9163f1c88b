"""`celeba` and `celebahq`: CelebA and CelebA-HQ in the folders that their authors hand out."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from geotrans.data._example import drawn_faces, write_face
from geotrans.data._files import Framing, Pictures, cut, pictures_in, shuffled
from geotrans.data._reader import Reader
from geotrans.types import ConditionSpec
from registry import register_dataset, suggest

SPM4 = ("Smiling", "Arched_Eyebrows", "Big_Nose", "Pointy_Nose")
RULES = {"spm": 2000, "stargan": 1999}
_CENTRE = 178
_PARTITION = {"0": "train", "1": "val", "2": "test"}
_LABELS = {"1": 1.0, "0": 0.0, "-1": 0.0}


@register_dataset("CelebA: 202,599 aligned faces of celebrities, 40 attributes", "non-commercial research only")
def celeba(
    root: str = "",
    split: str = "train",
    resolution: int = 128,
    seed: int = 0,
    attributes: Sequence[str] = SPM4,
    rule: str = "spm",
    flip: bool = True,
    landmarks: str = "",
    skip_broken: bool = False,
) -> Pictures:
    """CelebA's aligned faces: the middle 178 x 178 of 178 x 218 pixels, resized.

    Args:
        root: holds img_align_celeba and list_attr_celeba.txt, in the folders Img and Anno too, or the list as .csv. A
            picture may have another suffix than in the list.
        split: train, val or test.
        resolution: height and width.
        seed: has no effect: nothing is drawn, and the split has a seed of its own.
        attributes: columns of the list, in this order; by default those of SPM.
        rule: how it is split. "spm": of the list, shuffled by Python with seed 1234, the first 2000 pictures are for
            testing; 1999 with "stargan". The papers have no validation split: here it is as many pictures, the next
            ones, which training then does not see. Of a part of CelebA, test and val take a tenth at most. "official"
            reads list_eval_partition.txt, which holds out whole people.
        flip: training sees every picture mirrored too.
        landmarks: folder inside `root` with landmarks (see `with_landmarks`), which the condition then has; none if
            empty.
        skip_broken: leave out, with a warning, pictures that are missing or cannot be read.

    Raises:
        FileNotFoundError: a folder, a list or a listed picture is not there.
        ValueError: an unknown option, column or label.
    """
    expected = "DIR/img_align_celeba and DIR/list_attr_celeba.txt"
    reader = Reader("celeba", root, expected, split, seed, flip, landmarks, skip_broken)
    places = ("img_align_celeba/img_align_celeba", "img_align_celeba", "Img/img_align_celeba")
    where = reader.place(places, "folder img_align_celeba")
    labels = read_attributes(reader.place(_lists("Anno", "list_attr_celeba"), "list_attr_celeba.txt"), attributes)
    if rule == "official":
        partition = reader.place(_lists("Eval", "list_eval_partition"), "list_eval_partition.txt")
        names = _official(partition, list(labels), split)
    else:
        names = _shuffled("celeba", list(labels), rule, split)
    spec = ConditionSpec(attributes=tuple(attributes))
    return reader.serve(labels, names, pictures_in(where), spec, Framing(resolution, centre=_CENTRE))


@register_dataset("CelebA-HQ: 30,000 faces of celebrities at up to 1024 pixels, 40 attributes", "CC BY-NC 4.0")
def celebahq(
    root: str = "",
    split: str = "train",
    resolution: int = 256,
    seed: int = 0,
    attributes: Sequence[str] = SPM4,
    rule: str = "spm",
    flip: bool = True,
    landmarks: str = "",
    skip_broken: bool = False,
) -> Pictures:
    """CelebA-HQ as CelebAMask-HQ hands it out: whole pictures, resized.

    Args:
        root: holds CelebA-HQ-img and CelebAMask-HQ-attribute-anno.txt. A picture may have another suffix than in the
            list.
        rule: "spm" or "stargan".

    The other arguments, and errors, as for `celeba`.
    """
    expected = "DIR/CelebA-HQ-img and DIR/CelebAMask-HQ-attribute-anno.txt"
    reader = Reader("celebahq", root, expected, split, seed, flip, landmarks, skip_broken)
    where = reader.place(("CelebA-HQ-img",), "folder CelebA-HQ-img")
    anno = reader.place(("CelebAMask-HQ-attribute-anno.txt",), "CelebAMask-HQ-attribute-anno.txt")
    labels = read_attributes(anno, attributes)
    names = _shuffled("celebahq", list(labels), rule, split)
    spec = ConditionSpec(attributes=tuple(attributes))
    return reader.serve(labels, names, pictures_in(where), spec, Framing(resolution))


def read_attributes(path: Path, columns: Sequence[str]) -> dict[str, list[float]]:
    """Attributes of each picture by its stem, 0 or 1, in the order of the list and of `columns`.

    Raises:
        ValueError: an unknown column, a value other than -1, 0 and 1, or a broken line.
    """
    if isinstance(columns, str) or not columns:
        raise ValueError(f"attributes: expected a list of columns, got {columns!r}")
    labels = {}
    for name, cells in read_list(path, columns).items():
        try:
            labels[name] = [_LABELS[cell] for cell in cells]
        except KeyError as error:
            raise ValueError(f"{path}: {name}: expected -1, 0 or 1, got {error.args[0]!r}") from None
    return labels


def read_list(path: Path, columns: Sequence[str] = ()) -> dict[str, list[str]]:
    """Cells of one of CelebA's lists, by the stem of the file's name: those of `columns`, or all.

    Before the lines of the pictures may stand their number, and a header. Lists with commas are read too; their header
    has a name for the column of file names.

    Raises:
        ValueError: an unknown column, lines that differ in length, or no line at all.
    """
    lines = path.read_text(encoding="utf-8-sig", errors="replace").replace(",", " ").splitlines()
    start = int(bool(lines) and lines[0].strip().isdigit())
    header = lines[start].split() if len(lines) > start else []
    if header and "." in header[0]:  # the name of a file
        header = []
    body = [line for line in lines[start + bool(header) :] if line.strip()]
    if not body:
        raise ValueError(f"{path}: expected a line for each picture, got none")
    width = len(body[0].split())
    known = header[max(0, len(header) - width + 1) :]
    for column in columns:
        if column not in known:
            raise ValueError(f"{path} has no column {column!r}; {suggest(column, known)}")
    places = [known.index(column) + 1 for column in columns] or range(1, width)
    rows: dict[str, list[str]] = {}
    for line in body:
        cells = line.split()
        if len(cells) != width:
            raise ValueError(f"{path}: {cells[0]}: expected {width} columns, got {len(cells)}")
        rows[Path(cells[0]).stem] = [cells[place] for place in places]
    return rows


def _lists(folder: str, name: str) -> tuple[str, ...]:
    return (f"{name}.txt", f"{folder}/{name}.txt", f"{name}.csv")


def _shuffled(dataset: str, names: list[str], rule: str, split: str) -> list[str]:
    if rule not in RULES:
        known = ", ".join([*RULES, *(["official"] if dataset == "celeba" else [])])
        raise ValueError(f"{dataset}: expected rule to be one of {known}, got {rule!r}")
    count = min(RULES[rule], max(1, len(names) // 10))
    return cut(shuffled(names), split, count, count)


def _official(path: Path, names: list[str], split: str) -> list[str]:
    parts = {name: cells[0] for name, cells in read_list(path).items()}
    for name in names:
        if parts.get(name) not in _PARTITION:
            raise ValueError(f"{path}: {name}: expected 0, 1 or 2, got {parts.get(name, 'no line')}")
    return [name for name in names if _PARTITION[parts[name]] == split]


def example_celeba(root: Path) -> None:
    """Write a folder as `celeba` reads it, in miniature: 20 drawn faces."""
    pictures = _write_example(root / "img_align_celeba", "{:06d}.jpg", root / "list_attr_celeba.txt", 218, 178)
    lines = [f"{name} {0 if row < 12 else 1 if row < 16 else 2}" for row, name in enumerate(pictures)]
    (root / "list_eval_partition.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")


def example_celebahq(root: Path) -> None:
    """Write a folder as `celebahq` reads it, in miniature: 20 drawn faces."""
    _write_example(root / "CelebA-HQ-img", "{}.jpg", root / "CelebAMask-HQ-attribute-anno.txt", 64, 64)


def _write_example(folder: Path, pattern: str, anno: Path, height: int, width: int) -> list[str]:
    sample, source, _ = drawn_faces(20)
    assert source.attributes is not None
    names = [pattern.format(row + 1) for row in range(len(sample.id))]
    lines = [str(len(names)), " ".join(("Black_Hair", "Blond_Hair", "Brown_Hair", "Male", *SPM4, "Young"))]
    for row, name in enumerate(names):
        write_face(folder / name, sample.image[row], height, width)
        hair = [1 if row % 3 == place else -1 for place in range(3)]
        drawn = [2 * int(value) - 1 for value in source.attributes[row]]
        lines.append(" ".join(map(str, (name, *hair, 1 - 2 * (row % 2), *drawn, 1))))
    anno.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return names
