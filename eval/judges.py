"""Judges that a user trained: a folder in place of a registered feature."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from torch import Tensor

from geotrans.features.classifier import ARCH, ClassifierFeature, load_classifier
from geotrans.features.judge import IdentityFeature, IdentityJudge, Judge, JudgeFeature, load_judge
from geotrans.features.subject import SubjectFeature, SubjectJudge
from geotrans.features.timm import PREFIX
from geotrans.types import VECTOR_FIELDS, ConditionSpec
from hub.folder import WEIGHTS, read_config
from registry import FEATURES

LOCAL = "local-dir:"


def parse_judges(texts: Sequence[str]) -> dict[str, str]:
    """`role=feature` or `role=folder` -> role and the name that protocols and signatures use.

    Raises:
        ValueError: a text has no `=`.
        UnknownNameError: no feature has that name, and no folder either.
    """
    judges = {}
    for text in texts:
        role, equals, name = text.partition("=")
        if not (role and equals and name):
            raise ValueError(f"--judge {text}: expected ROLE=FEATURE or ROLE=FOLDER, emotion=local-dir:runs/judge say")
        place = Path(name.removeprefix(LOCAL))
        if name.startswith(LOCAL) or (name not in FEATURES and place.is_dir()):
            judges[role] = f"{LOCAL}{place}#{role}"
        else:
            if not name.startswith(PREFIX):
                FEATURES.get(name)
            judges[role] = name
    return judges


def judge_features(judges: Mapping[str, str], have: ConditionSpec) -> dict[str, Callable[[Tensor], Tensor]]:
    """The judges among `judges` that are folders, loaded; they read the columns `have` of the data, in its order.

    Raises:
        FileNotFoundError: a folder or a file of it is missing.
        ValueError: a folder holds no judge, or the judge does not read what its role asks for.
    """
    return {name: _load(*_split(name), have) for name in judges.values() if name.startswith(LOCAL)}


def judge_weights(name: str) -> Path:
    """The file of weights of a judge that is a folder."""
    return _split(name)[0] / WEIGHTS


def _split(name: str) -> tuple[Path, str]:
    folder, _, role = name.removeprefix(LOCAL).rpartition("#")
    return Path(folder), role


def _load(folder: Path, role: str, have: ConditionSpec) -> Callable[[Tensor], Tensor]:
    arch = read_config(folder)["arch"]
    if arch == "judge_identity":
        if role != "identity":
            raise ValueError(f"{folder} holds a judge of identity, which cannot play {role}")
        return IdentityFeature(load_judge(IdentityJudge, folder))
    if arch == "judge_subject":
        if role not in ("identity", "features", "joints"):
            raise ValueError(f"{folder} holds a judge of identity, features and joints, which cannot play {role}")
        return SubjectFeature(load_judge(SubjectJudge, folder), role)
    if arch not in ("judge", ARCH):
        raise ValueError(f"{folder} holds {arch}, not a judge; make one with `geotrans train-judge`")
    feature: JudgeFeature | ClassifierFeature
    if arch == ARCH:
        classifier = load_classifier(folder)
        reads: ConditionSpec = classifier.cfg.condition
        feature = ClassifierFeature(classifier, role)
    else:
        judge = load_judge(Judge, folder)
        reads, feature = judge.cfg.condition, JudgeFeature(judge, role)
    if role == "features":
        return feature
    known, wanted = getattr(reads, role, ()), getattr(have, role, ())
    if not wanted or (missing := [column for column in wanted if column not in known]):
        raise ValueError(
            f"the judge in {folder} does not read {role} {', '.join(missing) if wanted else 'of this data'}; it reads "
            f"{', '.join(column for part in VECTOR_FIELDS for column in getattr(reads, part))}"
        )
    places = [known.index(column) for column in wanted]
    return lambda images: feature(images)[:, places]
