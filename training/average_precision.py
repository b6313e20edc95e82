"""Owns the detector's figure: mean average precision at an IoU of one half."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Box = tuple[float, float, float, float]


@dataclass(frozen=True, slots=True)
class ScoredBox:
    """A detection in one picture."""

    class_id: int
    score: float
    box: Box


def mean_average_precision(found: Sequence[Sequence[ScoredBox]], truths: Sequence[NDArray[np.float32]]) -> float:
    """mAP50 over the classes that occur; for each picture what was found, and its truth (M, 5): class id and box."""
    present = sorted({int(row[0]) for truth in truths for row in truth})
    return float(np.mean([_average_precision(found, truths, class_id) for class_id in present]))


def _average_precision(
    found: Sequence[Sequence[ScoredBox]], truths: Sequence[NDArray[np.float32]], class_id: int
) -> float:
    """The area under precision over recall, all points; each true box can be found once."""
    boxes = [truth[truth[:, 0] == class_id, 1:] for truth in truths]
    ranked = sorted(
        ((item, picture) for picture, items in enumerate(found) for item in items if item.class_id == class_id),
        key=lambda pair: -pair[0].score,
    )
    is_taken = [np.zeros(len(group), bool) for group in boxes]
    is_right = np.array([_take(item.box, boxes[picture], is_taken[picture]) for item, picture in ranked], bool)
    right = np.cumsum(is_right)
    precision = right / np.arange(1, len(right) + 1)
    # The best precision at this recall or beyond, as VOC has counted since 2010.
    envelope = np.maximum.accumulate(precision[::-1])[::-1]
    return float((envelope * is_right).sum() / sum(len(group) for group in boxes))


def _take(box: Box, truths: NDArray[np.float32], is_taken: NDArray[np.bool_]) -> bool:
    """Whether the box finds the true box that it overlaps most, which must be free; that one is then taken."""
    if not len(truths):
        return False
    overlaps = _iou(np.asarray(box, np.float32), truths)
    best = int(overlaps.argmax())
    if overlaps[best] < 0.5 or is_taken[best]:
        return False
    is_taken[best] = True
    return True


def _iou(box: NDArray[np.float32], others: NDArray[np.float32]) -> NDArray[np.float32]:
    sides = np.minimum(box[2:], others[:, 2:]) - np.maximum(box[:2], others[:, :2])
    common = sides.clip(min=0).prod(axis=1)
    areas = (others[:, 2:] - others[:, :2]).prod(axis=1) + (box[2:] - box[:2]).prod()
    return np.asarray(common / (areas - common))
