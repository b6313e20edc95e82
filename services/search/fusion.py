"""Fusion: several embeddings and their weights become one, as the normalised weighted sum.

The laws: a weight of 0 equals leaving the embedding out; one embedding stays itself; a negative weight never raises
the score of what it pushes away.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from rpc.errors import InvalidArgument

Embeddings = npt.NDArray[np.float32]

# Below this share of the weights' sum, what is left is rounding error and points nowhere.
_CANCELLED = 1e-5


def fuse(parts: Sequence[Embeddings], weights: Sequence[float]) -> Embeddings:
    """Fuses unit vectors `(1, D)` or `(R, D)`, all R equal, into `(R, D)` unit vectors; single rows go with each row.

    Raises InvalidArgument when the parts cancel each other.
    """
    kept = [(part, weight) for part, weight in zip(parts, weights, strict=True) if weight]
    if len(kept) == 1 and kept[0][1] > 0:
        return kept[0][0]
    scale = sum(abs(weight) for _, weight in kept)
    rows = max(len(part) for part, _ in kept)
    fused = np.zeros((rows, kept[0][0].shape[1]))
    for part, weight in kept:
        fused += part * (weight / scale)
    norms = np.linalg.norm(fused, axis=-1, keepdims=True)
    if not np.all(norms > _CANCELLED):
        raise InvalidArgument("parts: the weighted parts cancel each other; change a weight")
    return np.asarray(fused / norms, dtype=np.float32)


def unit_vector(data: bytes, dimension: int) -> Embeddings:
    """Reads a caller's float32 little-endian vector as `(1, D)` of unit length; raises ValueError saying what is wrong."""
    if len(data) != 4 * dimension:
        raise ValueError(
            f"it must be {4 * dimension:,} bytes, {dimension:,} float32 values, but is {len(data):,} bytes"
        )
    embedding = np.frombuffer(data, dtype="<f4").astype(np.float64)
    if not np.all(np.isfinite(embedding)):
        raise ValueError("every value must be finite")
    norm = np.linalg.norm(embedding)
    if norm == 0:
        raise ValueError("it must not be all zeros")
    return np.asarray(embedding / norm, dtype=np.float32)[np.newaxis]
