"""Brute force gives the same scores as an index: cosines."""

from collections.abc import AsyncIterator

import numpy as np

from services.stores.milvus.exact import nearest_of_all
from services.stores.milvus.rows import EMBEDDING, Row
from services.stores.records import Embeddings


async def in_two_batches(embeddings: Embeddings) -> AsyncIterator[list[Row]]:
    """Rows as a scan reads them."""
    rows: list[Row] = [{"key": f"{n:032x}-1-0", EMBEDDING: row} for n, row in enumerate(embeddings)]
    yield rows[: len(rows) // 2]
    yield rows[len(rows) // 2 :]


async def test_scores_are_cosines_within_their_bounds() -> None:
    """Rounding lifts no score above 1 and pushes none below -1, and what is equal is found first."""
    generator = np.random.default_rng(0)
    stored = generator.normal(size=(400, 512)).astype(np.float32)
    stored /= np.linalg.norm(stored, axis=1, keepdims=True)
    queries = np.concatenate([stored[:100], -stored[:100]])

    found = await nearest_of_all(in_two_batches(stored), queries, limit=400)

    scores = np.array([[near.score for near in answer] for answer in found])
    assert -1 <= scores.min() < -0.999
    assert 0.999 < scores.max() <= 1
    assert [str(answer[0].key) for answer in found[:100]] == [f"{n:032x}-1-0" for n in range(100)]
