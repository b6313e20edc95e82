"""Owns a split as the network reads it: photos, sketches, captions and categories, row by row."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from encoders.bundle import Preprocessing
from training.datasets.coco_karpathy import CATEGORY_IDS, CaptionedPhoto
from training.decoded import Pixels, cached
from training.text_sketch.words import Words

Tokens = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Pairs:
    """N photos with their sketches, both uint8 (N, S, S, 3), and for each its captions' tokens and its categories.

    `labels` is float32 (N, 90), 1 for COCO category id 1 at index 0.
    """

    photos: Pixels
    sketches: Pixels
    tokens: tuple[tuple[list[int], ...], ...]
    labels: NDArray[np.float32]

    @classmethod
    def read(cls, photos: Sequence[CaptionedPhoto], words: Words, preprocessing: Preprocessing, cache: Path) -> "Pairs":
        """Decode every picture once, into two folders of `cache` that are then mapped.

        Photos that nobody drew, which the loader keeps of an incomplete set, are left out.
        """
        sketches = {photo: photo.sketch for photo in photos if photo.sketch is not None}
        photos = tuple(sketches)
        labels = np.zeros((len(photos), len(CATEGORY_IDS)), np.float32)
        for row, photo in enumerate(photos):
            labels[row, [category - CATEGORY_IDS.start for category in photo.category_ids]] = 1
        return cls(
            photos=cached([photo.path for photo in photos], preprocessing, cache / "photos"),
            sketches=cached(list(sketches.values()), preprocessing, cache / "sketches"),
            tokens=tuple(words.ids(photo.captions) for photo in photos),
            labels=labels,
        )

    def __len__(self) -> int:
        return len(self.photos)


def padded(captions: Sequence[Sequence[int]]) -> Tokens:
    """Captions of any lengths as int64 (N, T), T the longest; what is behind their ends is 0."""
    tokens = np.zeros((len(captions), max(map(len, captions))), np.int64)
    for row, caption in enumerate(captions):
        tokens[row, : len(caption)] = caption
    return tokens
