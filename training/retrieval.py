"""Owns the figures of retrieval by brute force: each picture asks for all the others."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray


@dataclass(frozen=True, slots=True)
class RetrievalFigures:
    """Shares in 0..1, averaged over the queries that have at least one other picture of their class."""

    p_at_1: float
    r_at_5: float
    map: float


def leave_one_out(embeddings: NDArray[np.float32], labels: ArrayLike) -> RetrievalFigures:
    """Rank, for each unit embedding of (N, D), all the others by cosine; hits share its label."""
    labels = np.asarray(labels)
    scores = embeddings @ embeddings.T
    np.fill_diagonal(scores, -np.inf)
    order = np.argsort(-scores, axis=1, kind="stable")[:, :-1]
    is_hit = labels[order] == labels[:, None]
    is_hit = is_hit[is_hit.any(axis=1)]
    precision = np.cumsum(is_hit, axis=1) / np.arange(1, is_hit.shape[1] + 1)
    average_precision = (precision * is_hit).sum(axis=1) / is_hit.sum(axis=1)
    return RetrievalFigures(
        p_at_1=float(is_hit[:, 0].mean()),
        r_at_5=float(is_hit[:, :5].any(axis=1).mean()),
        map=float(average_precision.mean()),
    )
