"""Brute force gives the same scores as an index: cosines."""

from collections.abc import AsyncIterator, Sequence
from typing import Any, cast

import numpy as np

from rpc.deadline import Deadline
from services.stores.exact import nearest_of_all
from services.stores.milvus import MilvusIndex, Row
from services.stores.records import Collection, CollectionMode, Embeddings
from services.stores.rows import EMBEDDING

COLLECTION = Collection("any", "space", "encoder", "", CollectionMode.WHOLE_IMAGE, "HNSW", 512, 0.0)


class StoredRows:
    """Rows that a scan reads, in two batches."""

    def __init__(self, embeddings: Embeddings) -> None:
        self._rows: list[Row] = [{"key": f"{n:032x}-1-0", EMBEDDING: row} for n, row in enumerate(embeddings)]

    async def scan(self, collection: Collection, **_: Any) -> AsyncIterator[Sequence[Row]]:
        """All rows."""
        half = len(self._rows) // 2
        yield self._rows[:half]
        yield self._rows[half:]


async def test_scores_are_cosines_within_their_bounds() -> None:
    """Rounding lifts no score above 1 and pushes none below -1, and what is equal is found first."""
    generator = np.random.default_rng(0)
    stored = generator.normal(size=(400, 512)).astype(np.float32)
    stored /= np.linalg.norm(stored, axis=1, keepdims=True)
    queries = np.concatenate([stored[:100], -stored[:100]])

    found = await nearest_of_all(
        cast("MilvusIndex", StoredRows(stored)),
        COLLECTION,
        queries,
        limit=400,
        expression="",
        fields=(),
        deadline=Deadline.after(60),
    )

    scores = np.array([[near.score for near in answer] for answer in found])
    assert -1 <= scores.min() < -0.999
    assert 0.999 < scores.max() <= 1
    assert [answer[0].key for answer in found[:100]] == [f"{n:032x}-1-0" for n in range(100)]
