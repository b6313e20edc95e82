"""Owns a split: read in the layout that its config names, and cached as the network sees it."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from encoders.bundle import Preprocessing
from encoders.images.resizing import fit
from training.datasets.annotated import AnnotatedImages
from training.datasets.coco_detection import load_coco_detection
from training.datasets.voc import load_voc
from training.decoded import Pixels, cached
from training.objects.config import DataConfig

Truth = NDArray[np.float32]


def load_split(
    config: DataConfig, folder: Path, split: str, *, decode: bool = False, allow_incomplete: bool = False
) -> AnnotatedImages:
    """Read a split of the dataset in `folder`: VOC's folder of the year, or the one with COCO's `annotations/`.

    With `decode`, or to leave out what is broken, every image is decoded once. Raises ValueError where COCO's categories
    are others.
    """
    decode = decode or allow_incomplete
    if config.layout == "voc":
        return load_voc(folder, split, labels=config.labels, decode=decode, allow_incomplete=allow_incomplete)
    file = folder / "annotations" / f"instances_{split}.json"
    images = load_coco_detection(file, folder / split, decode=decode, allow_incomplete=allow_incomplete)
    if images.labels != config.labels:
        raise ValueError(f"{file} has the categories {list(images.labels)}: write them into [data] labels.")
    return images


@dataclass(frozen=True, slots=True)
class CachedImages:
    """`pixels` uint8 (N, S, S, 3), mapped from the disk, and for each (M, 5): class id and box in normalized coordinates of the input.

    What a detector need not find is not among them.
    """

    pixels: Pixels
    truths: tuple[Truth, ...]


def cache_images(images: AnnotatedImages, folder: Path, preprocessing: Preprocessing) -> CachedImages:
    """Decode every image once, and open the cache; one of the same images that is there already is kept."""
    paths = [image.path for image in images.images]
    return CachedImages(cached(paths, preprocessing, folder), truths_in_input(images, preprocessing))


def truths_in_input(images: AnnotatedImages, preprocessing: Preprocessing) -> tuple[Truth, ...]:
    """Each image's objects where they come to lie in the network's input."""
    input_px = np.asarray(preprocessing.size * 2, np.float32)
    placed = [fit((image.width_px, image.height_px), preprocessing) for image in images.images]
    truths = []
    for truth, at in zip(images.truths(), placed, strict=True):
        corner = np.asarray((at.left_px, at.top_px) * 2, np.float32)
        boxes = (truth[:, 1:] * np.asarray(at.resized_px * 2, np.float32) - corner) / input_px
        truths.append(np.concatenate([truth[:, :1], boxes], axis=1))
    return tuple(truths)
