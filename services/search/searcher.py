"""The search of a query: its collection, its embeddings, the nearest rows, the answer."""

import asyncio
import time
from collections.abc import Sequence

from rpc.deadline import Deadline
from rpc.errors import ServiceError
from rpc.observer import stage
from rpc.tasks import gather
from services.search.embedding import QueryEmbedder
from services.search.planner import QueryEmbeddings
from services.search.query import SearchAnswer, SearchQuery
from services.stores.images import ImageStore
from services.stores.records import FindResult, NearestQuery, SpaceChanged

# Reading the records of a whole batch at once would block the event loop for longer than Redis may take to answer.
FINDS_AT_ONCE = 16
MAX_MOVES = 3


class Searcher:
    """Answers queries from one store."""

    def __init__(self, store: ImageStore, embedder: QueryEmbedder) -> None:
        self._store = store
        self._embedder = embedder

    async def search(self, query: SearchQuery, deadline: Deadline) -> SearchAnswer:
        """Answers one query; raises ServiceError."""
        (outcome,) = await self.search_batch(query.collection, [query], deadline)
        if isinstance(outcome, ServiceError):
            raise outcome
        return outcome

    async def search_batch(
        self, collection_name: str, queries: Sequence[SearchQuery], deadline: Deadline
    ) -> list[SearchAnswer | ServiceError]:
        """One outcome for each query, in order; raises ServiceError only if all of them must fail."""
        # A collection that moves to another encoder meanwhile is asked again, with embeddings of its new space.
        for _ in range(MAX_MOVES):
            outcomes = await self._search_once(collection_name, queries, deadline)
            if not any(isinstance(outcome, SpaceChanged) for outcome in outcomes):
                break
        return outcomes

    async def _search_once(
        self, collection_name: str, queries: Sequence[SearchQuery], deadline: Deadline
    ) -> list[SearchAnswer | ServiceError]:
        started_s = time.perf_counter()
        collection = await self._store.get(collection_name)
        with stage("embed_query"):
            embedded = await self._embedder.embed(collection, queries, deadline)
        encode_ms = _ms_since(started_s)
        permits = asyncio.Semaphore(FINDS_AT_ONCE)
        finds = [
            self._find(query, each, collection.space, permits, deadline)
            for query, each in zip(queries, embedded, strict=True)
        ]
        outcomes = await gather(*finds)
        total_ms = _ms_since(started_s)
        return [
            outcome
            if isinstance(outcome, ServiceError)
            else _answer(collection.space, *outcome, encode_ms=encode_ms, total_ms=total_ms)
            for outcome in outcomes
        ]

    async def _find(
        self,
        query: SearchQuery,
        embedded: QueryEmbeddings | ServiceError,
        space: str,
        permits: asyncio.Semaphore,
        deadline: Deadline,
    ) -> tuple[QueryEmbeddings, FindResult] | ServiceError:
        if isinstance(embedded, ServiceError):
            return embedded
        try:
            async with permits:
                nearest = NearestQuery(
                    embedded.embeddings,
                    limit=query.page_size,
                    offset=query.offset,
                    filter=query.filter,
                    min_score=query.min_score,
                    exact=query.exact,
                    group_by_image=query.group_by_image,
                    fold_copies=query.fold_copies,
                )
                found = await self._store.find(query.collection, nearest, deadline, space=space)
        except ServiceError as error:
            return error
        return embedded, found


def _answer(
    space: str, embedded: QueryEmbeddings, found: FindResult, *, encode_ms: float, total_ms: float
) -> SearchAnswer:
    return SearchAnswer(
        hits=tuple(found.hits),
        space=space,
        encode_ms=encode_ms,
        vector_search_ms=found.vector_search_ms,
        metadata_ms=found.metadata_ms,
        total_ms=total_ms,
        query_regions=embedded.regions,
        warnings=(*embedded.warnings, *found.warnings),
    )


def _ms_since(started_s: float) -> float:
    return (time.perf_counter() - started_s) * 1000
