"""The search of a query: its collection, its embeddings, the nearest rows, the answer."""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import replace

from rpc.deadline import Deadline
from rpc.errors import FailedPrecondition, ServiceError
from rpc.observer import stage
from services.search.embedding import QueryEmbedder
from services.search.facets import COUNTED_HITS, Facet, FacetCounts, facets_of_collection, facets_of_hits
from services.search.paging import NOT_KEPT, Page, Paging
from services.search.planner import QueryEmbeddings
from services.search.query import RefinedHit, SearchAnswer, SearchQuery
from services.search.refining import refined
from services.stores.images import ImageStore
from services.stores.queries import FindResult
from services.stores.records import Collection, SpaceChanged

MAX_MOVES = 3
NOT_CALIBRATED = (
    "relevance: nothing is known about the scores of this query, because an encoder is not calibrated or no part has a "
    "positive weight; choose a min_score instead"
)


class Searcher:
    """Answers queries from one store."""

    def __init__(self, store: ImageStore, embedder: QueryEmbedder, paging: Paging) -> None:
        self._store = store
        self._embedder = embedder
        self._paging = paging

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

    async def count_facets(self, collection_name: str, fields: Sequence[str], filter_text: str) -> FacetCounts:
        """Counts the values of fields in a collection; raises ServiceError."""
        return await facets_of_collection(self._store, collection_name, fields, filter_text)

    async def _search_once(
        self, collection_name: str, queries: Sequence[SearchQuery], deadline: Deadline
    ) -> list[SearchAnswer | ServiceError]:
        started_s = time.perf_counter()
        collection = await self._store.get(collection_name)
        with stage("embed_query"):
            pages = await self._pages(collection, queries, deadline)
        encode_ms = _ms_since(started_s)
        found = await self._found(collection, pages, deadline)
        answers = [
            each if isinstance(each, ServiceError) else await self._answer(collection, *each, deadline)
            for each in found
        ]
        total_ms = _ms_since(started_s)
        return [
            each if isinstance(each, ServiceError) else replace(each, encode_ms=encode_ms, total_ms=total_ms)
            for each in answers
        ]

    async def _pages(
        self, collection: Collection, queries: Sequence[SearchQuery], deadline: Deadline
    ) -> list[Page | ServiceError]:
        """The pages that are asked for, with the embeddings of their queries: encoded, or those in the page token."""
        fresh = [query for query in queries if not query.page_token]
        embedded = iter(await self._embedder.embed(collection, fresh, deadline))
        return [
            await self._paging.page(collection, query, deadline)
            if query.page_token
            else _first_page(query, next(embedded))
            for query in queries
        ]

    async def _found(
        self, collection: Collection, pages: Sequence[Page | ServiceError], deadline: Deadline
    ) -> list[tuple[Page, FindResult] | ServiceError]:
        """Each page with what was found for it."""
        asked = [page.nearest for page in pages if isinstance(page, Page)]
        try:
            found = iter(await self._store.find(collection.name, asked, deadline, space=collection.space))
        except SpaceChanged as error:
            return [error for _ in pages]
        return [page if isinstance(page, ServiceError) else _both(page, next(found)) for page in pages]

    async def _answer(self, collection: Collection, page: Page, found: FindResult, deadline: Deadline) -> SearchAnswer:
        hits = list(map(RefinedHit, found.hits))
        if page.query.compares_hits or page.query.explain:
            embeddings = await self._store.embeddings(collection, found.hits, deadline)
            hits = await asyncio.to_thread(refined, page, found.hits, embeddings)
        if page.embedded.calibration is not None:
            confidence = page.embedded.calibration.confidence
            hits = [replace(each, confidence=confidence(each.hit.score)) for each in hits]
        shown, has_next = page.cut(hits)
        facets = await self._facets(collection, page, deadline) if page.query.facets else ()
        warnings, token = (*page.embedded.warnings, *found.warnings), ""
        if has_next:
            try:
                token = await self._paging.token_after(collection, page, shown, deadline)
            except ServiceError:
                warnings = (*warnings, NOT_KEPT)
        return SearchAnswer(
            hits=shown,
            space=collection.space,
            vector_search_ms=found.vector_search_ms,
            metadata_ms=found.metadata_ms,
            encoder_calls=page.embedded.calls,
            query_regions=page.embedded.regions,
            warnings=warnings,
            next_page_token=token,
            facets=facets,
        )

    async def _facets(self, collection: Collection, page: Page, deadline: Deadline) -> tuple[Facet, ...]:
        """The facets of the query's first hits, whatever page is asked for."""
        nearest = replace(page.nearest, limit=COUNTED_HITS, offset=0, after=None)
        (found,) = await self._store.find(collection.name, [nearest], deadline, space=collection.space)
        if isinstance(found, ServiceError):
            raise found
        return facets_of_hits(found.hits, page.query.facets)


def _first_page(query: SearchQuery, embedded: QueryEmbeddings | ServiceError) -> Page | ServiceError:
    if isinstance(embedded, ServiceError):
        return embedded
    if query.relevance and embedded.calibration is None:
        return FailedPrecondition(NOT_CALIBRATED)
    return Page(query, embedded, start=query.offset)


def _both(page: Page, found: FindResult | ServiceError) -> tuple[Page, FindResult] | ServiceError:
    return found if isinstance(found, ServiceError) else (page, found)


def _ms_since(started_s: float) -> float:
    return (time.perf_counter() - started_s) * 1000
