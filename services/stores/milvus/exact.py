"""Brute force: compares queries with every embedding, in batches, keeping only the best."""

import asyncio
from collections.abc import AsyncIterator, Sequence

import numpy as np
import numpy.typing as npt

from services.stores.milvus.rows import EMBEDDING, Neighbor, Row, RowKey
from services.stores.records import Embeddings


async def nearest_of_all(batches: AsyncIterator[list[Row]], embeddings: Embeddings, limit: int) -> list[list[Neighbor]]:
    """The `limit` rows nearest to each of the embeddings (Q, D), best first."""
    best: list[list[Neighbor]] = [[] for _ in embeddings]
    async for rows in batches:
        best = await asyncio.to_thread(_improved, best, rows, embeddings, limit)
    return best


def _improved(
    best: list[list[Neighbor]], rows: Sequence[Row], embeddings: Embeddings, limit: int
) -> list[list[Neighbor]]:
    stored: Embeddings = np.array([row.pop(EMBEDDING) for row in rows], dtype=np.float32)
    # Rounding may lift the product of two unit vectors above 1.
    scores = np.clip(embeddings @ stored.T, -1.0, 1.0)
    return [
        _best(known, rows, position, of_query, limit)
        for position, (known, of_query) in enumerate(zip(best, scores, strict=True))
    ]


def _best(
    known: Sequence[Neighbor], rows: Sequence[Row], query_position: int, scores: npt.NDArray[np.float32], limit: int
) -> list[Neighbor]:
    new = [
        Neighbor(RowKey.parse(rows[each]["key"]), float(scores[each]), query_position, rows[each])
        for each in np.argsort(-scores, kind="stable")[:limit]
    ]
    return sorted([*known, *new], key=lambda neighbor: -neighbor.score)[:limit]
