"""From a detector's raw outputs to a list of objects: threshold, non-maximum suppression, coordinates of the image."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from domain.box import Box
from domain.detection import Detection
from encoders.bundle import Preprocessing
from encoders.images.resizing import fit
from encoders.serving.session import RawDetections

_MAX_OVERLAP = 0.45  # intersection over union
# With a threshold near 0 a detector offers 100,000 boxes; the weakest of them are never among the best 1,000.
_MOST_CANDIDATES = 8192

_Boxes = NDArray[np.float32]


def postprocess(
    raw: RawDetections,
    *,
    labels: Sequence[str],
    image_px: tuple[int, int],
    preprocessing: Preprocessing,
    min_score: float,
    limit: int,
    max_overlap: float | None = None,
) -> list[Detection]:
    """List at most `limit` objects of an upright image (width, height), best first, with boxes clipped to it.

    A box that overlaps a better one of its class by more than `max_overlap` (intersection over union, default .45) is
    dropped.
    """
    rows, class_ids = np.nonzero(raw.scores >= min_score)
    boxes, scores = raw.boxes[rows], raw.scores[rows, class_ids]
    usable = np.isfinite(boxes).all(axis=1) & np.isfinite(scores)
    boxes, scores, class_ids = boxes[usable], scores[usable], class_ids[usable]
    order = np.argsort(-scores, kind="stable")[:_MOST_CANDIDATES]
    boxes = _in_image(boxes, image_px, preprocessing)
    visible = boxes.clip(0, 1)
    order = order[(visible[order, 2:] > visible[order, :2]).all(axis=1)]
    # Unclipped boxes decide what hides what, as in Darknet; only those that are returned are clipped.
    return [
        Detection(_box(visible[row]), labels[class_ids[row]], float(scores[row]), int(class_ids[row]))
        for row in _best(boxes, class_ids, order, limit, max_overlap or _MAX_OVERLAP)
    ]


def _best(
    boxes: _Boxes, class_ids: NDArray[np.intp], order: NDArray[np.intp], limit: int, max_overlap: float
) -> list[int]:
    """Take the best that is left and drop what it hides, until enough are taken."""
    taken: list[int] = []
    while len(order) and len(taken) < limit:
        best, rest = int(order[0]), order[1:]
        taken.append(best)
        is_hidden = (class_ids[rest] == class_ids[best]) & (_overlaps(boxes[best], boxes[rest]) > max_overlap)
        order = rest[~is_hidden]
    return taken


def _overlaps(box: _Boxes, others: _Boxes) -> NDArray[np.float32]:
    """Compute intersection over union of one box (4,) with others (M, 4)."""
    corner_min, corner_max = np.maximum(box[:2], others[:, :2]), np.minimum(box[2:], others[:, 2:])
    shared = np.prod(np.clip(corner_max - corner_min, 0, None), axis=1)
    joint = np.prod(box[2:] - box[:2]) + np.prod(others[:, 2:] - others[:, :2], axis=1) - shared
    overlaps: NDArray[np.float32] = shared / joint
    return overlaps


def _in_image(boxes: _Boxes, image_px: tuple[int, int], preprocessing: Preprocessing) -> _Boxes:
    """From normalized coordinates of the model's input to those of the image: the fitting is undone."""
    fitted = fit(image_px, preprocessing)
    input_px = np.asarray(preprocessing.size * 2, dtype=np.float32)
    offset_px = np.asarray((fitted.left_px, fitted.top_px) * 2, dtype=np.float32)
    resized_px = np.asarray(fitted.resized_px * 2, dtype=np.float32)
    normalized: _Boxes = np.divide(boxes * input_px + offset_px, resized_px, dtype=np.float32)
    return normalized


def _box(corners: _Boxes) -> Box:
    x_min, y_min, x_max, y_max = corners.tolist()
    return x_min, y_min, x_max, y_max
