"""A query's way: collection, vectors, nearest rows, answer."""

import asyncio
import time
from collections.abc import Sequence
from typing import TypeAlias

from rpc.deadline import Deadline
from rpc.errors import ServiceError
from rpc.telemetry import stage
from services.search.embedding import EmbeddedQuery, QueryEmbedder
from services.search.query import Answer, Query, Timings
from services.stores.images import ImageStore
from services.stores.records import Found

# The records of a whole batch, read together, would hold the event loop for longer than Redis may take to answer.
FINDS_AT_ONCE = 16

_Outcome: TypeAlias = tuple[EmbeddedQuery, Found] | ServiceError


class Searcher:
    """Answers queries from one store."""

    def __init__(self, store: ImageStore, embedder: QueryEmbedder) -> None:
        self._store = store
        self._embedder = embedder

    async def search(self, query: Query, deadline: Deadline) -> Answer:
        """Answers one query; raises ServiceError."""
        (outcome,) = await self.search_batch(query.collection, [query], deadline)
        if isinstance(outcome, ServiceError):
            raise outcome
        return outcome

    async def search_batch(
        self, collection_name: str, queries: Sequence[Query], deadline: Deadline
    ) -> list[Answer | ServiceError]:
        """One outcome for each query, in order; raises ServiceError only where all of them must fail."""
        started_s = time.perf_counter()
        collection = await self._store.get(collection_name)
        with stage("embed_query"):
            embedded = await self._embedder.embed(collection, queries, deadline)
        encode_ms = _ms_since(started_s)
        places = asyncio.Semaphore(FINDS_AT_ONCE)

        async def find(query: Query, vectors: EmbeddedQuery | ServiceError) -> _Outcome:
            async with places:
                return await self._find(query, vectors, collection.space, deadline)

        found = await asyncio.gather(*map(find, queries, embedded))
        total_ms = _ms_since(started_s)
        return [
            outcome
            if isinstance(outcome, ServiceError)
            else _answer(collection.space, *outcome, encode_ms=encode_ms, total_ms=total_ms)
            for outcome in found
        ]

    async def _find(
        self, query: Query, embedded: EmbeddedQuery | ServiceError, space: str, deadline: Deadline
    ) -> _Outcome:
        if isinstance(embedded, ServiceError):
            return embedded
        try:
            found = await self._store.find(
                query.collection,
                embedded.embeddings,
                space=space,
                limit=query.page_size,
                offset=query.offset,
                filter=query.filter,
                min_score=query.min_score,
                exact=query.exact,
                group_by_image=query.group_by_image,
                fold_copies=query.fold_copies,
                deadline=deadline,
            )
        except ServiceError as error:
            return error
        return embedded, found


def _answer(space: str, embedded: EmbeddedQuery, found: Found, *, encode_ms: float, total_ms: float) -> Answer:
    timings = Timings(encode_ms, found.vector_search_ms, found.metadata_ms, total_ms)
    warnings = (*embedded.warnings, *found.warnings)
    return Answer(tuple(found.hits), space, timings, embedded.regions, warnings)


def _ms_since(started_s: float) -> float:
    return (time.perf_counter() - started_s) * 1000
