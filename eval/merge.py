"""Many runs as one board for each protocol, and the history of their scores."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace

from eval.environment import now
from eval.results import BoardResult, Pictures, Point, Results, Row
from registry import METRICS

Digest = Callable[[str], str | None]


def merge(runs: Iterable[Results], digest: Digest | None, left_out: Mapping[str, str] | None = None) -> Results:
    """One board for each protocol; the newest run of a model first.

    Scores of another version than the registered one of their metric are dropped.

    Args:
        digest: for a leaderboard that strangers write to: name of a model -> sha256 of the weights that this name gives
            to everyone, None if it gives none. A row is then marked as a duplicate when its weights, or its name if it
            has none, are on the board already, and as unverified when nobody else can have the weights it was made
            with. Without it only the newest run of a row is shown, and the others are its history.
        left_out: what to name as left out, and why.
    """
    ordered = sorted(runs, key=lambda run: run.created, reverse=True)
    boards: dict[str, list[BoardResult]] = {}
    for run in ordered:
        for board in run.boards:
            boards.setdefault(board.key, []).append(board)
    merged = tuple(_merge(same, digest, dict(left_out or {})) for _, same in sorted(boards.items()))
    environment = {"runs": len(ordered), "packages": {}}
    created = max((run.created for run in ordered), default=now())
    return Results(merged, environment, created, history=history(ordered))


def history(runs: Iterable[Results]) -> tuple[Point, ...]:
    """Every score of every run, oldest first."""
    points = {point for run in runs for point in (run.history or _points(run))}
    return tuple(sorted(points, key=lambda point: (point.board, point.row, point.metric, point.created, point.label)))


def _points(run: Results) -> Iterable[Point]:
    for board in run.boards:
        versions = {metric.name: metric.version for metric in board.metrics}
        for row in board.rows:
            for name, score in row.scores.items():
                facts = (board.key, row.name, name, versions[name], run.label, run.created)
                yield Point(*facts, score.value, score.low, score.high)


def _merge(boards: Sequence[BoardResult], digest: Digest | None, left_out: dict[str, str]) -> BoardResult:
    metrics = {metric.name: metric for board in reversed(boards) for metric in board.metrics if _current(metric.name)}
    metrics = {name: replace(fact, version=_current(name)) for name, fact in metrics.items()}
    rows: list[Row] = []
    seen: dict[str, int] = {}
    for board in boards:
        versions = {metric.name: metric.version for metric in board.metrics}
        for row in board.rows:
            named = f"{row.kind} {row.name}"
            key = named if digest is None else row.facts.weights_sha256 or named
            seen[key] = seen.get(key, 0) + 1
            if (row.is_reference or digest is None) and seen[key] > 1:
                continue
            scores = {name: score for name, score in row.scores.items() if versions.get(name) == _current(name)}
            if old := sorted(set(row.scores) - set(scores)):
                left_out[f"{', '.join(old)} of {row.name}"] = "scored with another version of the metric"
            mark = "" if digest is None else _mark(row, seen[key], digest)
            rows.append(replace(row, scores=scores, name=row.name + mark))
        left_out |= board.left_out
    order = {"identity": 1, "real": 2}
    rows.sort(key=lambda row: order.get(row.kind, 0))
    kept = {name: why for name, why in left_out.items() if name not in metrics and name not in {r.name for r in rows}}
    return replace(
        boards[0], metrics=tuple(metrics.values()), rows=tuple(rows), left_out=kept, pictures=_pictures(boards)
    )


def _pictures(boards: Sequence[BoardResult]) -> Pictures | None:
    """What each row made of the samples that the newest board with pictures shows."""
    given = [board.pictures for board in boards if board.pictures is not None]
    if not given:
        return None
    same = [pictures for pictures in given if pictures.sample.id == given[0].sample.id]
    shown = {name: made for pictures in reversed(same) for name, made in pictures.translations.items()}
    return Pictures(given[0].sample, shown, given[0].wanted)


def _mark(row: Row, count: int, digest: Digest) -> str:
    if row.is_reference:
        return ""
    marks = [f"duplicate {count}"] if count > 1 else []
    if row.kind != "model":
        marks.append("unverified: pictures of unknown origin")
    elif row.facts.weights_sha256 is None or (stated := digest(row.name)) is None:
        marks.append("unverified: weights not public")
    elif stated != row.facts.weights_sha256:
        marks.append("unverified: other weights are public now")
    return f" [{'; '.join(marks)}]" if marks else ""


def _current(metric: str) -> int:
    """The registered version of a metric; 0 for one that is not registered."""
    return METRICS.get(metric).info.version if metric in METRICS else 0
