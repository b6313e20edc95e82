"""Diversity: an order of hits in which each is near to the query and unlike those before it."""

from collections.abc import Sequence

import numpy as np

from services.stores.records import Embeddings


def spread(scores: Sequence[float], embeddings: Embeddings, diversity: float) -> list[int]:
    """The positions of hits by maximal marginal relevance (Carbonell and Goldstein, SIGIR 1998).

    The next hit is the one with the largest `(1 - diversity) · score - diversity · c`, where c is its largest cosine with
    those before it. A diversity of 0 keeps the order.
    """
    relevance = (1 - diversity) * np.asarray(scores)
    closest = np.zeros(len(scores))
    left = np.ones(len(scores), dtype=bool)
    order: list[int] = []
    for _ in scores:
        best = int(np.argmax(np.where(left, relevance - diversity * closest, -np.inf)))
        left[best] = False
        likeness = embeddings @ embeddings[best]
        closest = np.maximum(closest, likeness) if order else likeness
        order.append(best)
    return order
