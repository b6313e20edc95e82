"""Owns the form that every detection set is read into: images, and what stands where in them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from domain.box import Box
from training.datasets.report import DatasetReport, FaultKind, Faults, RecordError

# Tools count pixels from 0 or from 1, and round; what lies a pixel outside is not a fault.
ROUNDING_PX = 1.0


@dataclass(frozen=True, slots=True)
class TrueObject:
    """One object: `box` in normalized coordinates of the image.

    `is_difficult` is VOC's `difficult` or COCO's `iscrowd`: a detector need not find it and is not blamed if it does.
    `attributes` are what else the annotation says, in the form that annotation tools add to both layouts.
    """

    label: str
    box: Box
    is_difficult: bool = False
    attributes: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class AnnotatedImage:
    """An image with its objects, perhaps none; the size is the annotation's, in pixels as stored."""

    path: Path
    name: str
    width_px: int
    height_px: int
    objects: tuple[TrueObject, ...]


@dataclass(frozen=True, slots=True)
class AnnotatedImages:
    """Images in the list's order; an object's class id is its label's place in `labels`."""

    images: tuple[AnnotatedImage, ...]
    labels: tuple[str, ...]
    report: DatasetReport

    def truths(self, *, with_difficult: bool = False) -> tuple[NDArray[np.float32], ...]:
        """For each image its objects as (M, 5): class id, x_min, y_min, x_max, y_max in normalized coordinates."""
        class_ids = {label: number for number, label in enumerate(self.labels)}
        return tuple(
            np.array(
                [
                    (class_ids[item.label], *item.box)
                    for item in image.objects
                    if with_difficult or not item.is_difficult
                ],
                np.float32,
            ).reshape(-1, 5)
            for image in self.images
        )


@dataclass(frozen=True, slots=True)
class Frame:
    """Turns the boxes of one image into shares, and notes those that reach outside."""

    width_px: int
    height_px: int
    file: str
    faults: Faults

    def box(self, edges_px: tuple[float, float, float, float], record: str) -> Box:
        """A box from (x_min, y_min, x_max, y_max) in pixels from 0, cut to the image.

        Raises RecordError where nothing of it lies inside.
        """
        x_min, y_min, x_max, y_max = edges_px
        shown = f"box {x_min:g} {y_min:g} {x_max:g} {y_max:g} in {self.width_px} x {self.height_px}"
        if x_min >= x_max or y_min >= y_max:
            raise RecordError(FaultKind.BAD_RECORD, f"{shown} has no area")
        left, right = max(x_min, 0.0), min(x_max, float(self.width_px))
        top, bottom = max(y_min, 0.0), min(y_max, float(self.height_px))
        if left >= right or top >= bottom:
            raise RecordError(FaultKind.BOX_OUTSIDE, f"{shown} lies outside")
        if max(left - x_min, x_max - right, top - y_min, y_max - bottom) > ROUNDING_PX:
            self.faults.note(FaultKind.BOX_OUTSIDE, self.file, record, f"{shown} reaches outside and is cut")
        return (left / self.width_px, top / self.height_px, right / self.width_px, bottom / self.height_px)


def labels_of(images: Sequence[AnnotatedImage]) -> tuple[str, ...]:
    """Every label that occurs, sorted."""
    return tuple(sorted({item.label for image in images for item in image.objects}))


def counts_of(images: Sequence[AnnotatedImage]) -> dict[str, int]:
    """What a report counts of such a set."""
    return {"images": len(images), "objects": sum(len(image.objects) for image in images)}
