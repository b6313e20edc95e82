"""Owns the sharing out of dimensions into buckets of equal size and nearly equal variance."""

import numpy as np
from numpy.typing import NDArray


def allocate_eigenvalues(buckets: int, eigenvalues: NDArray[np.floating]) -> NDArray[np.intp]:
    """Order dimensions so that consecutive runs of D / `buckets` have nearly equal products of eigenvalues.

    Returns a permutation of 0..D-1. The largest eigenvalue left goes to the bucket with the smallest product so far
    that still has room; the first such bucket on ties.
    """
    magnitudes = np.abs(np.asarray(eigenvalues, np.float64))
    room, rest = divmod(len(magnitudes), buckets)
    if rest:
        raise ValueError(f"{len(magnitudes)} dimensions cannot be shared out evenly into {buckets} parts")
    # Relative to the smallest, logarithms are not negative; a dimension that never varies adds nothing.
    smallest = magnitudes[magnitudes > 0].min(initial=np.inf)
    logs = np.log2(np.maximum(magnitudes / smallest, 1.0))

    members: list[list[int]] = [[] for _ in range(buckets)]
    sums = np.zeros(buckets)
    for dimension in np.argsort(-logs, kind="stable"):
        bucket = int(np.argmin(sums))
        members[bucket].append(int(dimension))
        sums[bucket] = np.inf if len(members[bucket]) == room else sums[bucket] + logs[dimension]
    return np.asarray([dimension for bucket in members for dimension in bucket], np.intp)
