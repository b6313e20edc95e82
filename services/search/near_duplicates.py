"""Near duplicates among hits: the same photo at other sizes and crops becomes one group."""

import numpy as np

from services.stores.records import Embeddings


def groups_of(embeddings: Embeddings, threshold: float) -> list[list[int]]:
    """The connected components of embeddings (N, D), best first, that have a cosine of at least `threshold` with another.

    Each group is a list of positions, in order, and the groups are in the order of their first ones. Costs N² cosines.
    """
    near = embeddings @ embeddings.T >= threshold
    left = np.ones(len(near), dtype=bool)
    groups: list[list[int]] = []
    for first in range(len(near)):
        if not left[first]:
            continue
        members = np.zeros(len(near), dtype=bool)
        members[first] = True
        newest = members
        while newest.any():
            newest = near[newest].any(axis=0) & ~members
            members |= newest
        left &= ~members
        groups.append([int(position) for position in np.flatnonzero(members)])
    return groups
