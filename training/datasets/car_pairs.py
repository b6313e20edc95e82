"""Owns CompCars' verification: pairs of web photos, of one model or of two, in three grades of difficulty."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Unpack

import numpy as np
from numpy.typing import NDArray

from training.datasets.report import Checks, DatasetReport, FaultKind, RecordError
from training.datasets.root import DatasetRoot, open_dataset

Difficulty = Literal["easy", "medium", "hard"]
_ANSWERS = {"0": False, "1": True}


@dataclass(frozen=True, slots=True)
class CarPair:
    """Two web photos, and whether they show the same model."""

    first: Path
    second: Path
    is_same: bool


@dataclass(frozen=True, slots=True)
class CarPairs:
    """The pairs in the list's order."""

    pairs: tuple[CarPair, ...]
    report: DatasetReport

    @property
    def is_same(self) -> NDArray[np.bool_]:
        """The answers, (N,), as `training.metrics.pair_figures` wants them."""
        return np.array([pair.is_same for pair in self.pairs], bool)


def load_car_pairs(root: Path, difficulty: Difficulty, **checks: Unpack[Checks]) -> CarPairs:
    """Read `data/train_test_split/verification/verification_pairs_<difficulty>.txt`.

    Its lines are two names below `data/image` and 1 for the same model, 0 for another.
    """
    base, faults = open_dataset(root, checks)
    images = base.child("data/image")
    file = f"data/train_test_split/verification/verification_pairs_{difficulty}.txt"
    pairs: list[CarPair] = []
    for record, line in base.lines(file, faults):
        with faults.at(file, record):
            pairs.append(_pair(line.split(), images))
    same = sum(pair.is_same for pair in pairs)
    counts = {"same pairs": same, "different pairs": len(pairs) - same}
    report = faults.finish(base.folder, counts)
    return CarPairs(tuple(pairs), report)


def _pair(fields: list[str], images: DatasetRoot) -> CarPair:
    if len(fields) != 3 or fields[2] not in _ANSWERS:
        raise RecordError(FaultKind.BAD_RECORD, f"{' '.join(fields)!r} is not two photos and 0 or 1")
    first, second, answer = fields
    return CarPair(images.image(first), images.image(second), _ANSWERS[answer])
