"""Brute force: compares queries with every embedding, in batches, keeping only the best."""

import asyncio
from collections.abc import AsyncIterator, Sequence

import numpy as np

from services.stores.milvus.rows import EMBEDDING, Neighbor, Row, RowKey
from services.stores.records import Embeddings


async def nearest_of_all(batches: AsyncIterator[list[Row]], embeddings: Embeddings, limit: int) -> list[list[Neighbor]]:
    """The `limit` rows nearest to each of the embeddings (Q, D), best first."""
    best: list[list[Neighbor]] = [[] for _ in embeddings]
    async for rows in batches:
        await asyncio.to_thread(_improve, best, rows, embeddings, limit)
    return best


def _improve(best: list[list[Neighbor]], rows: Sequence[Row], embeddings: Embeddings, limit: int) -> None:
    stored: Embeddings = np.array([row.pop(EMBEDDING) for row in rows], dtype=np.float32)
    # Rounding may lift the product of two unit vectors above 1.
    scores = np.clip(embeddings @ stored.T, -1.0, 1.0)
    keys = [RowKey.parse(row["key"]) for row in rows]
    for position, of_query in enumerate(scores):
        top = np.argsort(-of_query, kind="stable")[:limit]
        new = [Neighbor(keys[each], float(of_query[each]), rows[each]) for each in top]
        best[position] = sorted([*best[position], *new], key=lambda neighbor: -neighbor.score)[:limit]
