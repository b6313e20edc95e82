"""Owns the cache of a split: its pictures as the network sees them, and their objects in the same frame."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from encoders.bundle import Preprocessing
from encoders.images.resizing import fit
from training.datasets.annotated import AnnotatedPictures
from training.decoded import Pixels, cached

Truth = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class CachedPictures:
    """`pixels` uint8 (N, S, S, 3), mapped from the disk, and for each (M, 5): class id and box in shares of the input.

    What a detector need not find is not among them.
    """

    pixels: Pixels
    truths: tuple[Truth, ...]


def cache_pictures(pictures: AnnotatedPictures, folder: Path, preprocessing: Preprocessing) -> CachedPictures:
    """Decode every picture once, and open the cache; one of the same pictures that is there already is kept."""
    paths = [picture.path for picture in pictures.pictures]
    return CachedPictures(cached(paths, preprocessing, folder), truths_in_input(pictures, preprocessing))


def truths_in_input(pictures: AnnotatedPictures, preprocessing: Preprocessing) -> tuple[Truth, ...]:
    """Each picture's objects where they come to lie in the network's input."""
    input_px = np.asarray(preprocessing.size * 2, np.float32)
    placed = [fit((picture.width_px, picture.height_px), preprocessing) for picture in pictures.pictures]
    truths = []
    for truth, at in zip(pictures.truths(), placed, strict=True):
        corner = np.asarray((at.left_px, at.top_px) * 2, np.float32)
        boxes = (truth[:, 1:] * np.asarray(at.resized_px * 2, np.float32) - corner) / input_px
        truths.append(np.concatenate([truth[:, :1], boxes], axis=1))
    return tuple(truths)
