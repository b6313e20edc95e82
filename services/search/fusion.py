"""Fusion: several embeddings become one, their normalized weighted sum.

The laws: a weight of 0 equals leaving the embedding out; one embedding is unchanged; a negative weight never raises the
score of its target.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from rpc.errors import InvalidArgument

Embeddings = npt.NDArray[np.float32]

# A shorter sum, at weights scaled to a sum of 1, is rounding error and has no direction.
_CANCELLED = 1e-5


def fuse(parts: Sequence[Embeddings], weights: Sequence[float]) -> Embeddings:
    """Fuse embeddings `(1, D)` or `(R, D)`, all R equal, into `(R, D)` of unit length; a single row goes with each row.

    Raises InvalidArgument if the parts cancel each other.
    """
    kept = [(part, weight) for part, weight in zip(parts, weights, strict=True) if weight]
    if len(kept) == 1 and kept[0][1] > 0:
        return kept[0][0]
    return np.asarray(sum(terms_of(*zip(*kept, strict=True))), dtype=np.float32)


def terms_of(parts: Sequence[Embeddings], weights: Sequence[float]) -> list[npt.NDArray[np.float64]]:
    """The terms, `(1, D)` or `(R, D)`, whose sum is the fused embedding; raises as `fuse` does."""
    scale = sum(map(abs, weights))
    terms = [part * (weight / scale) for part, weight in zip(parts, weights, strict=True)]
    norms = np.linalg.norm(sum(terms), axis=-1, keepdims=True)
    if not np.all(norms > _CANCELLED):
        raise InvalidArgument("parts: the weighted parts cancel each other; change a weight")
    return [term / norms for term in terms]


def parse_embedding(data: bytes, dimension: int) -> Embeddings:
    """A caller's little-endian float32 embedding as `(1, D)` of unit length; ValueError says what is wrong with it."""
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
