"""Owns what is learnt from the photos at hand: which of their classes a photo shows, and whether it is near any of them."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from training.joint_space.sentences import unit

RIDGE = 0.02
PROTOTYPES = 4
STEPS = 10

Rows = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class OwnClassifier:
    """Scores of C classes for features (N, F): `(features - mean) @ directions`; `prototypes` (P, F) have unit length.

    A photo far from every prototype is none of these classes, however sure the scores are.
    """

    mean: Rows
    directions: Rows
    prototypes: Rows


def fit_own_classes(features: Rows, labels: Sequence[int], classes: int) -> OwnClassifier:
    """A ridge regression in which every class counts alike, and a few centres of each class (spherical k-means)."""
    positions = np.asarray(labels)
    counts = np.bincount(positions, minlength=classes)
    weights = (len(positions) / classes / counts[positions])[:, None]
    mean = (weights * features).sum(axis=0) / weights.sum()
    centred, targets = features - mean, np.eye(classes)[positions]
    covariance = (centred * weights).T @ centred
    ridge = RIDGE * np.trace(covariance) / len(covariance)
    correlation = (centred * weights).T @ (targets - targets.mean(axis=0))
    directions = np.linalg.solve(covariance + ridge * np.eye(len(covariance)), correlation)
    rng = np.random.default_rng(0)
    prototypes = np.concatenate([_centres(features[positions == label], rng) for label in range(classes)])
    return OwnClassifier(mean.astype(np.float32), directions.astype(np.float32), prototypes)


def _centres(rows: Rows, rng: np.random.Generator) -> Rows:
    centres = rows[rng.choice(len(rows), min(PROTOTYPES, len(rows)), replace=False)]
    for _ in range(STEPS):
        nearest = (rows @ centres.T).argmax(axis=1)
        groups = [rows[nearest == number] for number in range(len(centres))]
        centres = unit(
            np.stack([group.mean(axis=0) if len(group) else old for group, old in zip(groups, centres, strict=True)])
        )
    return centres
