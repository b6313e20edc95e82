"""A batch of queries beside one store."""

import asyncio
from typing import Any

import numpy as np

from rpc.deadline import Deadline
from services.search.planner import QueryEmbeddings
from services.search.query import QueryPart, SearchQuery
from services.search.searcher import FINDS_AT_ONCE, Searcher
from services.stores.records import FindResult, NearestQuery
from tests.services.stores.making import a_collection


class Store:
    """A store that counts how many searches it has at once."""

    def __init__(self) -> None:
        self._now = 0
        self.most = 0

    async def get(self, name: str) -> Any:
        """A collection."""
        return a_collection(name)

    async def find(self, _: str, query: NearestQuery, *__: object, **___: object) -> FindResult:
        """No hits, after the other tasks ran; the limit is in a warning."""
        self._now += 1
        self.most = max(self.most, self._now)
        await asyncio.sleep(0)
        self._now -= 1
        return FindResult(hits=(), warnings=(str(query.limit),), vector_search_ms=0.0, metadata_ms=0.0)


class Embedder:
    """Embeds whatever it is given."""

    async def embed(self, _: object, queries: list[SearchQuery], __: object) -> list[QueryEmbeddings]:
        """One embedding for each query."""
        return [QueryEmbeddings(np.ones((1, 4), np.float32)) for _ in queries]


async def test_a_large_batch_asks_the_stores_in_turns() -> None:
    """The stores' time budgets hold for a few searches at once, however many a batch has; the order is kept."""
    store = Store()
    searcher = Searcher(store, Embedder())  # type: ignore[arg-type]
    queries = [
        SearchQuery("c", (QueryPart(0, "text", "red"),), limit=number + 1) for number in range(4 * FINDS_AT_ONCE)
    ]

    answers = await searcher.search_batch("c", queries, Deadline.after(10))

    assert [answer.warnings for answer in answers] == [(str(query.limit),) for query in queries]  # type: ignore[union-attr]
    assert store.most == FINDS_AT_ONCE
