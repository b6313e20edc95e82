"""Owns what a network's raw answers come to, by the code that serves them."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from domain.detection import Detection
from encoders.bundle import Preprocessing
from encoders.serving.detection import postprocess
from encoders.serving.session import RawDetections
from training.average_precision import MOST_DETECTIONS
from training.datasets.annotated import AnnotatedPicture

# Precision is measured down to guesses that nobody would be shown.
LEAST_SCORE = 0.01
# Those that nobody asked for are shown from here on.
SHOWN_SCORE = 0.5

Raw = NDArray[np.float32]


def detections_of(
    boxes: Raw,
    scores: Raw,
    pictures: Sequence[AnnotatedPicture],
    labels: Sequence[str],
    preprocessing: Preprocessing,
) -> list[list[Detection]]:
    """The objects found in each of N pictures, from boxes (N, K, 4) and scores (N, K, C)."""
    return [
        postprocess(
            RawDetections(own_boxes, own_scores),
            labels=labels,
            image_px=(picture.width_px, picture.height_px),
            preprocessing=preprocessing,
            min_score=LEAST_SCORE,
            limit=MOST_DETECTIONS,
        )
        for own_boxes, own_scores, picture in zip(boxes, scores, pictures, strict=True)
    ]
