"""Owns CompCars' protocol: which database photos train, which validate, and which classes are too small to judge by."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

Flags = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class CarSplit:
    """Flags over the database, (N,), each a mask of `training.metrics.withheld`.

    A minor class trains with what is not held back of it, as published, but is neither asked for nor found.
    """

    is_validation: Flags
    is_minor: Flags
    minor_classes: NDArray[np.int64]

    @property
    def is_train(self) -> Flags:
        """The photos that train, those of minor classes among them."""
        return ~self.is_validation

    @property
    def is_validation_query(self) -> Flags:
        """The photos that are asked with in validation."""
        return self.is_validation & ~self.is_minor

    def is_test_query(self, labels: ArrayLike) -> Flags:
        """Which queries from outside the database, by class (Q,), are asked: those of no minor class."""
        return ~np.isin(np.asarray(labels), self.minor_classes)


def split_cars(labels: ArrayLike, *, ratio: int = 7, min_count: int = 58) -> CarSplit:
    """Hold back the first 1/`ratio` of each class, in the database's order; classes under `min_count` are minor.

    `labels` (N,) are the database's classes. Raises ValueError for a ratio under 2, which would leave nothing to train.
    """
    if ratio < 2:
        raise ValueError("The ratio must be at least 2: one part validates, the others train.")
    classes, group, counts = np.unique(np.asarray(labels, np.int64), return_inverse=True, return_counts=True)
    order = np.argsort(group, kind="stable")
    position = np.empty(len(group), np.int64)
    # A photo's place within its class.
    position[order] = np.arange(len(group)) - np.repeat(np.cumsum(counts) - counts, counts)
    is_minor_class = counts < min_count
    return CarSplit(
        is_validation=position < (counts // ratio)[group],
        is_minor=is_minor_class[group],
        minor_classes=classes[is_minor_class],
    )


def labels_by_appearance(model_ids: Iterable[int]) -> dict[int, int]:
    """Number the models 0 to K-1 in the order in which the database meets them, as the classification loss needs."""
    return {model_id: label for label, model_id in enumerate(dict.fromkeys(model_ids))}
