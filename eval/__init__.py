"""Scores: protocols, metrics, and the board that shows them. `python -m eval.run` runs all of it; so does `score`."""

from registry import METRICS, PROTOCOLS

METRICS.add_source("eval.metrics")
PROTOCOLS.add_source("eval.protocols")

from eval.api import score  # noqa: E402

__all__ = ["score"]
