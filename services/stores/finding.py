"""The way of one query: one search in Milvus, one look into Redis, and another round only when needed."""

import asyncio
import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from rpc.deadline import Deadline
from rpc.errors import DeadlineExceeded, InvalidArgument, OutOfRange, Unavailable
from services.stores.drafts import check_embeddings
from services.stores.filters.expression import expression_of
from services.stores.filters.grammar import parse_filter
from services.stores.filters.tree import warnings_of
from services.stores.milvus.rows import RECORD_FIELDS, Neighbor, record_of
from services.stores.milvus.scanning import MAX_ROWS
from services.stores.milvus.store import RowStore
from services.stores.ranking import horizon, merge, rank
from services.stores.records import Collection, CollectionMode, FindResult, Hit, ImageRecord, NearestQuery
from services.stores.redis.catalog import RedisCatalog
from services.stores.redis.shards import CatalogLost

METADATA_BUDGET_S = 1.0
DEGRADED = "the records cannot be read now: very recent changes and deletions may not be seen"
RANKED_ON_LOOP = 1000  # rows; ranking more would hold the event loop for milliseconds
TRUNCATED = "too many rows are copies or out of date: there may be more hits than these"


@dataclass(slots=True)
class _Search:
    """A query on its way: the time that each store took so far, and whether the last round went without Redis."""

    collection: Collection
    query: NearestQuery
    expression: str
    deadline: Deadline
    trust_rows: bool
    milvus_s: float = 0.0
    redis_s: float = 0.0
    is_degraded: bool = False


class Finder:
    """Finds the images nearest to a query."""

    def __init__(self, rows: RowStore, catalog: RedisCatalog) -> None:
        self._rows = rows
        self._catalog = catalog

    async def find(
        self, collection: Collection, query: NearestQuery, deadline: Deadline, *, trust_rows: bool = False
    ) -> FindResult:
        """Hits, best first; CatalogLost where Redis does not hold the collection, unless rows are trusted for now."""
        _check(query, collection)
        tree = parse_filter(query.filter)
        search = _Search(collection, query, expression_of(tree, self._rows.engine), deadline, trust_rows)
        fetched, searched_again, warnings = _first_fetch(query, collection), False, list(warnings_of(tree))
        while True:
            hits, complete_to, has_changed = await self._round(search, fetched)
            if has_changed and not searched_again:
                searched_again = True
                continue
            if complete_to == -math.inf or sum(hit.score > complete_to for hit in hits) >= query.end:
                break
            if fetched >= MAX_ROWS:
                warnings.append(TRUNCATED)
                break
            # Copies, old versions or regions of one image were fetched instead of other hits.
            fetched = min(MAX_ROWS, 4 * fetched)
        return FindResult(
            hits=tuple(hits[query.offset : query.end]),
            warnings=(*warnings, DEGRADED) if search.is_degraded else tuple(warnings),
            vector_search_ms=1000 * search.milvus_s,
            metadata_ms=1000 * search.redis_s,
        )

    async def _round(self, search: _Search, fetched: int) -> tuple[list[Hit], float, bool]:
        """Hits among `fetched` rows, the score above which none is missing, and whether an image changed meanwhile."""
        collection, query = search.collection, search.query
        start_s = time.perf_counter()
        answers = await self._rows.nearest(
            collection, query, limit=fetched, expression=search.expression, deadline=search.deadline
        )
        searched_s = time.perf_counter()
        min_score = -math.inf if query.min_score is None else query.min_score
        neighbors = [each for each in merge(answers) if each.score >= min_score]
        records = await self._records(search, neighbors)
        search.milvus_s += searched_s - start_s
        search.redis_s += time.perf_counter() - searched_s
        ranked = partial(rank, neighbors, records, query, has_regions=collection.mode is CollectionMode.OBJECTS)
        hits = await asyncio.to_thread(ranked) if len(neighbors) > RANKED_ON_LOOP else ranked()
        return hits, horizon(answers, fetched, min_score), _has_changed(neighbors, records)

    async def _records(self, search: _Search, neighbors: Sequence[Neighbor]) -> dict[str, ImageRecord]:
        """The live records; where Redis cannot tell, what the rows themselves say."""
        ids = {neighbor.key.image_id for neighbor in neighbors}
        # Half of the time that is left is kept for reading the rows instead.
        budget = Deadline.after(min(METADATA_BUDGET_S, search.deadline.left_s() / 2))
        search.is_degraded = False
        try:
            return await self._catalog.records(search.collection, ids, budget)
        except CatalogLost:
            if not search.trust_rows:
                raise
        except (Unavailable, DeadlineExceeded):
            pass  # The cause is logged once where Redis is asked; here it would be a line for each search.
        search.is_degraded = True
        keys = [str(neighbor.key) for neighbor in neighbors]
        rows = await self._rows.read(search.collection.store_name, keys, ["key", *RECORD_FIELDS], search.deadline)
        newest = {record.image_id: record for record in sorted(map(record_of, rows), key=lambda each: each.version)}
        # A deletion is a version without regions; what it deleted is older.
        return {image_id: record for image_id, record in newest.items() if record.region_count}


def _check(query: NearestQuery, collection: Collection) -> None:
    if query.limit < 1:
        raise InvalidArgument("limit: at least 1 is needed")
    if query.offset < 0:
        raise InvalidArgument("offset: 0 or more is needed")
    if query.end > MAX_ROWS:
        raise OutOfRange(f"offset: offset and limit together reach {MAX_ROWS} at most")
    if query.min_score is not None and math.isnan(query.min_score):
        raise InvalidArgument("min_score: a number is needed")
    check_embeddings(query.embeddings, collection.dimension)


def _first_fetch(query: NearestQuery, collection: Collection) -> int:
    """Rows to fetch first: some more than hits, since rows may be out of date, copies, or regions of one image."""
    rows_a_hit = 3 if collection.mode is CollectionMode.OBJECTS and query.group_by_image else 1
    return min(MAX_ROWS, query.end * rows_a_hit + max(10, query.end // 4))


def _has_changed(neighbors: Sequence[Neighbor], records: Mapping[str, ImageRecord]) -> bool:
    """Whether an image got a new version between the search and the look into Redis: only its old rows were seen."""
    seen: dict[str, int] = {}
    for neighbor in neighbors:
        image_id, version = neighbor.key.image_id, neighbor.key.version
        seen[image_id] = max(version, seen.get(image_id, version))
    return any(image_id in records and version < records[image_id].version for image_id, version in seen.items())
