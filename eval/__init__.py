"""Scores: protocols, metrics, and the board that shows them. `python -m eval.run` runs all of it; so does `score`."""

from registry import METRICS, PROTOCOLS

METRICS.add_source("eval.metrics")
PROTOCOLS.add_source("eval.protocols")

from eval.api import score  # noqa: E402
from eval.board import write_board  # noqa: E402
from eval.storage import read_results, write_results  # noqa: E402

__all__ = ["read_results", "score", "write_board", "write_results"]
