"""Agreement with the packages that papers report, on real faces with the real networks; each number is printed.

Read from GEOTRANS_TEST_DATA (`cmu_faces`) and TORCH_HOME. Run with `-rA` to see the numbers.
"""

from __future__ import annotations

import csv
import os
import shutil
import sys
import warnings
from functools import cache
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from eval.folders import FolderWork
from eval.metrics.frechet import FeatureSet, FrechetMetric, frechet_distance
from eval.metrics.kid import KernelMetric
from eval.metrics.precision_recall import CoverageMetric
from eval.metrics.sets import SetMetric
from geotrans import create_feature
from geotrans.features import facenet, inception
from geotrans.features.external import PublishedWeights
from geotrans.features.lpips import BACKBONES, lpips_distance
from geotrans.ops.images import read_pixels

pytestmark = pytest.mark.weights


def faces() -> Path:
    folder = Path(os.environ.get("GEOTRANS_TEST_DATA", "")) / "cmu_faces"
    if "GEOTRANS_TEST_DATA" not in os.environ or not folder.is_dir():
        pytest.skip("needs cmu_faces; set GEOTRANS_TEST_DATA to the folder that holds it")
    return folder


def say(text: str) -> None:
    sys.stdout.write(f"{text}\n")


def needs(weights: PublishedWeights) -> None:
    if "TORCH_HOME" not in os.environ or not weights.path.is_file():
        pytest.skip(f"needs {weights.path}; set TORCH_HOME to a torch cache that has it")


def paths(start: int | None = None, stop: int | None = None) -> list[Path]:
    return sorted((faces() / "images").iterdir())[start:stop]


def pixels(files: list[Path]) -> Tensor:
    return torch.stack([read_pixels(path, upright=False) for path in files])


@cache
def straight() -> dict[str, tuple[str, Path]]:
    """name -> (person and expression, file) of the 78 frontal faces with open eyes."""
    with (faces() / "labels.csv").open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["pose"] == "straight" and row["eyes"] == "open"]
    return {row["image"]: (f"{row['person']} {row['expression']}", faces() / "images" / row["image"]) for row in rows}


@cache
def inception_features() -> tuple[Tensor, Tensor]:
    """Of the first 60 and the last 60 names."""
    needs(inception.WEIGHTS)
    network = create_feature("inception_fid")
    return network(pixels(paths(0, 60))), network(pixels(paths(-60, None)))


def official_inception() -> tuple[np.ndarray, np.ndarray]:
    import pytorch_fid.inception as official

    needs(inception.WEIGHTS)
    network = official.InceptionV3([3]).eval()
    with torch.no_grad():
        first, last = (network(pixels(part).float() / 255)[0].flatten(1) for part in (paths(0, 60), paths(-60, None)))
    return first.double().numpy(), last.double().numpy()


def scored(metric: SetMetric, generated: Tensor, real: Tensor) -> Any:
    metric.add("generated", generated, [f"a{i}" for i in range(len(generated))])
    metric.add("real", real, [f"b{i}" for i in range(len(real))])
    return metric.compute()


def test_fid_equals_pytorch_fid(monkeypatch: pytest.MonkeyPatch) -> None:
    from pytorch_fid.fid_score import calculate_frechet_distance

    monkeypatch.setattr("eval.metrics.frechet._warned", {"inception_fid"})
    ours = scored(FrechetMetric("inception_fid"), *inception_features())
    first, last = official_inception()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # scipy's, about singular matrices
        moments = [(x.mean(0), np.cov(x, rowvar=False)) for x in (first, last)]
        theirs = float(calculate_frechet_distance(*moments[0], *moments[1]))
    say(f"FID: geotrans {ours.value:.4f} [{ours.low:.2f}, {ours.high:.2f}], pytorch-fid {theirs:.4f}")
    assert theirs == pytest.approx(125.17, abs=0.01)
    assert ours.value == pytest.approx(theirs, rel=1e-3)


def test_fid_of_folders_is_that_of_features(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    needs(inception.WEIGHTS)
    monkeypatch.setattr("eval.metrics.frechet._warned", {"inception_fid"})
    names = ("made", "real")
    for name, part in zip(names, (paths(0, 60), paths(-60, None)), strict=True):
        (tmp_path / name).mkdir()
        for path in part:
            shutil.copyfile(path, tmp_path / name / path.name)
    wanted = ("fid", "kid", "precision", "recall")
    board = FolderWork(tmp_path / "made", tmp_path / "real", metrics=wanted).board(progress=False)
    a, b = (FeatureSet() for _ in names)
    for features, rows in zip((a, b), inception_features(), strict=True):
        features.add(rows)
    assert board.rows[0].scores["fid"].value == pytest.approx(frechet_distance(a, b), rel=1e-5)
    for name, score in board.rows[0].scores.items():
        say(f"{name}: {score.value:.4f} [{score.low:.4f}, {score.high:.4f}] n = {score.n}")


def test_kid_equals_torch_fidelity() -> None:
    """Its subsets are all 60 of each side, so that it has nothing to draw."""
    official = pytest.importorskip("torch_fidelity.metric_kid", exc_type=ImportError)
    ours = scored(KernelMetric("inception_fid"), *inception_features())
    theirs = official.kid_features_to_metric(
        *(rows.double() for rows in inception_features()), kid_subsets=1, kid_subset_size=60, verbose=False
    )["kernel_inception_distance_mean"]
    say(f"KID: geotrans {ours.value:.6f} [{ours.low:.4f}, {ours.high:.4f}], torch-fidelity {theirs:.6f}")
    assert ours.value == pytest.approx(theirs, rel=1e-9)


def test_kid_is_what_subsets_of_torch_fidelity_average_to() -> None:
    official = pytest.importorskip("torch_fidelity.metric_kid", exc_type=ImportError)
    ours = scored(KernelMetric("inception_fid"), *inception_features())
    theirs = official.kid_features_to_metric(
        *(rows.double() for rows in inception_features()), kid_subsets=400, kid_subset_size=30, verbose=False
    )
    spread = theirs["kernel_inception_distance_std"] / 400**0.5
    assert ours.value == pytest.approx(theirs["kernel_inception_distance_mean"], abs=4 * spread)


@pytest.mark.parametrize("split", ["other people", "same people"])
def test_precision_and_recall_equal_torch_fidelity(split: str) -> None:
    official = pytest.importorskip("torch_fidelity.metric_prc", exc_type=ImportError)
    generated, real = inception_features()
    if split == "same people":
        both = torch.cat([generated, real])
        generated, real = both[::2], both[1::2]
    theirs = official.prc_features_to_metric(generated, real, verbose=False)
    for side, name in (("generated", "precision"), ("real", "recall")):
        ours = scored(CoverageMetric("inception_fid", side), generated, real)  # type: ignore[arg-type]
        interval = f"[{ours.low:.1f}, {ours.high:.1f}]"
        say(f"{name}, {split}: geotrans {ours.value:.3f} {interval}, torch-fidelity {theirs[name]:.5f}")
        assert ours.value / 100 == pytest.approx(theirs[name], abs=1e-6)
    assert (theirs["precision"] > 0.2) == (split == "same people")


@pytest.mark.parametrize(("net", "expected"), [("alex", 0.1724), ("vgg", 0.3356)])
def test_lpips_equals_lpips(net: str, expected: float) -> None:
    import lpips

    needs(BACKBONES[net])
    files = [path for _, path in straight().values()][:2]
    pair = [Image.open(path).convert("RGB").resize((160, 160)) for path in sorted(files)]
    a, b = (torch.from_numpy(np.array(picture)).permute(2, 0, 1)[None] for picture in pair)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torchvision's, about `pretrained`
        official = lpips.LPIPS(net=net, verbose=False).eval()
    with torch.no_grad():
        theirs = float(official(a.float() / 127.5 - 1, b.float() / 127.5 - 1))
    ours = float(lpips_distance(net)(a, b))  # type: ignore[arg-type]
    say(f"LPIPS {net}: geotrans {ours:.6f}, lpips {theirs:.6f}")
    assert ours == pytest.approx(theirs, abs=1e-5)
    assert theirs == pytest.approx(expected, abs=1e-4)


def test_facenet_equals_facenet_pytorch_and_tells_people_apart() -> None:
    from facenet_pytorch import InceptionResnetV1

    needs(facenet.WEIGHTS["vggface2"])
    files = straight()
    crops = [
        torch.from_numpy(np.array(Image.open(path).convert("RGB").resize((160, 160), Image.Resampling.BILINEAR)))
        for _, path in files.values()
    ]
    pictures = torch.stack(crops).permute(0, 3, 1, 2)
    official = InceptionResnetV1(pretrained=None, classify=False).eval()
    state = facenet.WEIGHTS["vggface2"].load()
    official.load_state_dict({key: value for key, value in state.items() if not key.startswith("logits.")})
    with torch.no_grad():
        theirs = official((pictures.float() - 127.5) / 128)
    ours = create_feature("facenet_vggface2")(pictures)
    assert (ours @ ours.T - theirs @ theirs.T).abs().max() < 1e-5
    people = [label.split()[0] for label, _ in files.values()]
    cosines = ours @ ours.T
    pairs = list(combinations(range(len(people)), 2))
    same = np.mean([float(cosines[i, j]) for i, j in pairs if people[i] == people[j]])
    other = np.mean([float(cosines[i, j]) for i, j in pairs if people[i] != people[j]])
    say(f"FaceNet: same person {same:.3f}, different people {other:.3f} over {len(people)} pictures")
    assert same == pytest.approx(0.776, abs=0.01)
    assert other == pytest.approx(0.231, abs=0.01)


def test_aligned_facenet_equals_mtcnn_and_facenet_pytorch() -> None:
    from facenet_pytorch import MTCNN, InceptionResnetV1

    needs(facenet.WEIGHTS["vggface2"])
    files = [path for _, path in straight().values()][:6]
    pictures = [Image.open(path).convert("RGB").resize((256, 240)) for path in files]
    official = InceptionResnetV1(pretrained=None, classify=False).eval()
    state = facenet.WEIGHTS["vggface2"].load()
    official.load_state_dict({key: value for key, value in state.items() if not key.startswith("logits.")})
    detector = MTCNN()
    with torch.no_grad():
        theirs = torch.cat([official(detector(picture)[None]) for picture in pictures])
    batch = torch.stack([torch.from_numpy(np.array(picture)).permute(2, 0, 1) for picture in pictures])
    grey = torch.full_like(batch[:1], 128)
    ours = create_feature("facenet_vggface2_aligned")(torch.cat([batch, grey]))
    assert torch.nn.functional.cosine_similarity(ours[:6], theirs).min() > 1 - 1e-5
    assert not ours[6].any()
    found = create_feature("facenet_vggface2_aligned")(pixels([path for _, path in straight().values()][::3]))
    rate = float((found != 0).any(1).double().mean())
    say(f"MTCNN finds {100 * rate:.1f} % of {len(found)} frontal faces of 128 x 120 pixels")
    assert rate > 0.9


def test_happy_faces_smile() -> None:
    pytest.importorskip("mediapipe", exc_type=ImportError)
    from geotrans.features.mediapipe import ACTION_UNITS, MODEL

    if not MODEL.path.is_file():
        pytest.skip(f"needs {MODEL.path}; set {MODEL.variable} to it")
    read = create_feature("mediapipe_aus")
    smile = {}
    for expression in ("happy", "neutral"):
        files = [path for label, path in straight().values() if label.endswith(expression)]
        values = read(pixels(files))
        assert (values != 0).any(1).all()
        smile[expression] = values[:, list(ACTION_UNITS).index("AU12")].double()
    say(f"AU12: happy {smile['happy'].mean():.3f}, neutral {smile['neutral'].mean():.3f}")
    assert smile["happy"].mean() - smile["neutral"].mean() > 0.4
    assert smile["happy"].median() > smile["neutral"].max()
