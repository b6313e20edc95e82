"""Brute force: compares queries with every embedding, in batches, keeping only the best."""

import asyncio
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from rpc.deadline import Deadline
from services.stores.milvus import MilvusIndex, Neighbor, Row
from services.stores.records import Collection, Embeddings
from services.stores.rows import EMBEDDING


async def nearest_of_all(
    index: MilvusIndex,
    collection: Collection,
    embeddings: Embeddings,
    *,
    limit: int,
    expression: str,
    fields: Sequence[str],
    deadline: Deadline,
) -> list[list[Neighbor]]:
    """The `limit` rows nearest to each of the embeddings (Q, D), best first, whatever the index."""
    best: list[list[Neighbor]] = [[] for _ in embeddings]
    scan = index.scan(collection, expression=expression, fields=[*fields, EMBEDDING], deadline=deadline)
    async for rows in scan:
        best = await asyncio.to_thread(_improved, best, rows, embeddings, limit)
    return best


def _improved(
    best: list[list[Neighbor]], rows: Sequence[Row], embeddings: Embeddings, limit: int
) -> list[list[Neighbor]]:
    stored: Embeddings = np.array([row.pop(EMBEDDING) for row in rows], dtype=np.float32)
    # Rounding may lift the product of two unit vectors above 1.
    scores = np.clip(embeddings @ stored.T, -1.0, 1.0)
    return [_best(known, rows, of_query, limit) for known, of_query in zip(best, scores, strict=True)]


def _best(
    known: Sequence[Neighbor], rows: Sequence[Row], scores: npt.NDArray[np.float32], limit: int
) -> list[Neighbor]:
    top = np.argsort(-scores, kind="stable")[:limit]
    new = [Neighbor(rows[place]["key"], float(scores[place]), rows[place]) for place in top]
    return sorted([*known, *new], key=lambda near: -near.score)[:limit]
