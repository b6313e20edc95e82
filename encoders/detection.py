"""From a detector's raw answer to the list of objects: threshold, non-maximum suppression, the picture's own shares."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from domain.box import Box
from encoders.bundle import Preprocessing
from encoders.fit import fit
from encoders.session import RawDetections

MAX_OVERLAP = 0.45
# With a threshold near 0 a detector offers 100,000 boxes; the weakest of them are never among the best 1,000.
_MOST_CANDIDATES = 8192

_Boxes = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Detection:
    """One object; `box` in shares of the upright picture, clipped to it."""

    box: Box
    class_id: int
    score: float


def postprocess(
    raw: RawDetections,
    *,
    picture_px: tuple[int, int],
    preprocessing: Preprocessing,
    min_score: float,
    limit: int,
    max_overlap: float = MAX_OVERLAP,
) -> list[Detection]:
    """List at most `limit` objects of a picture (width, height), best first.

    Boxes of one class that overlap a better one by more than `max_overlap` (intersection over union) are dropped.
    """
    rows, class_ids = np.nonzero(raw.scores >= min_score)
    boxes, scores = raw.boxes[rows], raw.scores[rows, class_ids]
    usable = np.isfinite(boxes).all(axis=1) & np.isfinite(scores)
    boxes, scores, class_ids = boxes[usable], scores[usable], class_ids[usable]
    order = np.argsort(-scores, kind="stable")[:_MOST_CANDIDATES]
    boxes = _in_picture(boxes, picture_px, preprocessing)
    visible = boxes.clip(0, 1)
    order = order[(visible[order, 2:] > visible[order, :2]).all(axis=1)]
    # What hides what is decided by the whole boxes, as Darknet does; only the answer is clipped.
    return [
        Detection(_box(visible[place]), int(class_ids[place]), float(scores[place]))
        for place in _best(boxes, class_ids, order, limit, max_overlap)
    ]


def _best(boxes: _Boxes, class_ids: NDArray[np.intp], order: NDArray[np.intp], limit: int, overlap: float) -> list[int]:
    """Take the best that is left and drop what it hides, until enough are taken."""
    taken: list[int] = []
    while len(order) and len(taken) < limit:
        best, rest = int(order[0]), order[1:]
        taken.append(best)
        is_hidden = (class_ids[rest] == class_ids[best]) & (_overlaps(boxes[best], boxes[rest]) > overlap)
        order = rest[~is_hidden]
    return taken


def _overlaps(box: _Boxes, others: _Boxes) -> NDArray[np.float32]:
    """Compute intersection over union of one box (4,) with others (M, 4)."""
    corner_min, corner_max = np.maximum(box[:2], others[:, :2]), np.minimum(box[2:], others[:, 2:])
    shared = np.prod(np.clip(corner_max - corner_min, 0, None), axis=1)
    joint = np.prod(box[2:] - box[:2]) + np.prod(others[:, 2:] - others[:, :2], axis=1) - shared
    overlaps: NDArray[np.float32] = shared / joint
    return overlaps


def _in_picture(boxes: _Boxes, picture_px: tuple[int, int], preprocessing: Preprocessing) -> _Boxes:
    """Undo the way in which the picture was placed in the input."""
    placed = fit(picture_px, preprocessing)
    input_px = np.asarray(preprocessing.size * 2, dtype=np.float32)
    offset_px = np.asarray((placed.left_px, placed.top_px) * 2, dtype=np.float32)
    resized_px = np.asarray(placed.resized_px * 2, dtype=np.float32)
    shares: _Boxes = np.divide(boxes * input_px + offset_px, resized_px, dtype=np.float32)
    return shares


def _box(shares: _Boxes) -> Box:
    x_min, y_min, x_max, y_max = shares.tolist()
    return x_min, y_min, x_max, y_max
