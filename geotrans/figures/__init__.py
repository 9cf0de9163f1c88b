"""The papers' figures, drawn for any model that fits: functions here, and `geotrans figure` in the shell.

A figure is a picture (1, 3, height, width) in [-1, 1]. It is drawn of a model, wherever that is, and of a `Sample` on
the CPU in the model's columns, which `faces` takes from a dataset and `pictures` from files. What the model shall do is
text: see `edited`.
"""

from geotrans.figures.conditions import edited
from geotrans.figures.distance import embedding_distance, embedding_distances
from geotrans.figures.edits import attention, difference, sweep
from geotrans.figures.inputs import faces, pictures
from geotrans.figures.landmarks import landmark_interpolation
from geotrans.figures.motions import basis, motion, pyramid

__all__ = [
    "attention",
    "basis",
    "difference",
    "edited",
    "embedding_distance",
    "embedding_distances",
    "faces",
    "landmark_interpolation",
    "motion",
    "pictures",
    "pyramid",
    "sweep",
]
