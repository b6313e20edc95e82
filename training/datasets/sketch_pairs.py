"""Owns the form that every set of sketch and photo pairs is read into."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from training.datasets.report import DatasetReport


@dataclass(frozen=True, slots=True)
class SketchPair:
    """One sketch and the photo it was drawn from; `name` is the photo's below its folder, without ending.

    `captions` and `category` are empty where the set has none.
    """

    sketch: Path
    photo: Path
    name: str
    captions: tuple[str, ...] = ()
    category: str = ""


@dataclass(frozen=True, slots=True)
class SketchPairs:
    """Pairs in sorted order, and the gallery that they are searched in: each photo once, drawn or not."""

    pairs: tuple[SketchPair, ...]
    gallery: tuple[Path, ...]
    report: DatasetReport

    def targets(self) -> NDArray[np.intp]:
        """For each pair the row of its photo in the gallery, (N,)."""
        rows = {path: row for row, path in enumerate(self.gallery)}
        return np.array([rows[pair.photo] for pair in self.pairs], np.intp)


def counts_of(pairs: Iterable[SketchPair], gallery: Iterable[Path]) -> dict[str, int]:
    """What a report counts of such a set."""
    return {"pairs": len(list(pairs)), "photos": len(list(gallery))}
