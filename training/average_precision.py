"""Owns the detector's figures: COCO's average precision, computed by pycocotools."""

import contextlib
import io
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from domain.box import Box
from domain.detection import Detection
from training.datasets.annotated import AnnotatedImage

MOST_DETECTIONS = 100


@dataclass(frozen=True, slots=True)
class AveragePrecision:
    """Means over the classes that occur: at an IoU of one half, and over the IoUs .50, .55 … .95 as COCO ranks by."""

    at_half: float
    mean: float


def average_precision(
    found: Sequence[Sequence[Detection]], images: Sequence[AnnotatedImage], labels: Sequence[str]
) -> AveragePrecision:
    """Compare what was found in each image, the best 100, with what stands there.

    Difficult objects count as COCO's crowds: neither found nor missed. An IoU is the same in normalized coordinates as in pixels.
    """
    numbers = [{"id": number} for number in range(1, len(images) + 1)]
    categories = [{"id": number} for number in range(1, len(labels) + 1)]
    truths = [
        {**_shape(item.box), "image_id": number, "category_id": labels.index(item.label) + 1}
        | {"iscrowd": int(item.is_difficult)}
        for number, image in enumerate(images, start=1)
        for item in image.objects
    ]
    guesses = [
        {**_shape(item.box), "image_id": number, "category_id": item.class_id + 1, "score": item.score}
        for number, detections in enumerate(found, start=1)
        for item in detections
    ]
    # pycocotools tells its progress on stdout.
    with contextlib.redirect_stdout(io.StringIO()):
        evaluation = COCOeval(_indexed(numbers, categories, truths), _indexed(numbers, categories, guesses), "bbox")
        evaluation.params.areaRng, evaluation.params.areaRngLbl = [[0, np.inf]], ["all"]
        evaluation.params.maxDets = [MOST_DETECTIONS]
        evaluation.evaluate()
        evaluation.accumulate()
    # (IoU, recall, class, area, most detections); -1 for a class that does not occur.
    precision = evaluation.eval["precision"][..., 0, 0]
    occurs = precision[0, 0] >= 0
    return AveragePrecision(float(precision[0][:, occurs].mean()), float(precision[..., occurs].mean()))


def _indexed(images: list[dict[str, int]], categories: list[dict[str, int]], rows: list[dict[str, object]]) -> COCO:
    document = COCO()
    numbered = [{**row, "id": number} for number, row in enumerate(rows, start=1)]
    document.dataset = {"images": images, "categories": categories, "annotations": numbered}
    document.createIndex()
    return document


def _shape(box: Box) -> dict[str, object]:
    x_min, y_min, x_max, y_max = box
    width, height = x_max - x_min, y_max - y_min
    return {"bbox": [x_min, y_min, width, height], "area": width * height}
