"""One query's way through the stores: one search in Milvus, one look into Redis, and another round only when needed."""

import asyncio
import logging
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial

from rpc.deadline import Deadline
from rpc.errors import DeadlineExceeded, InvalidArgument, OutOfRange, Unavailable
from services.stores.catalog import RedisCatalog
from services.stores.conditions import warnings_of
from services.stores.drafts import check_embeddings
from services.stores.exact import nearest_of_all
from services.stores.expression import expression_of
from services.stores.filter import parse_filter
from services.stores.milvus import MAX_ROWS, MilvusIndex, Neighbor
from services.stores.ranking import Candidate, Match, horizon, merge, rank
from services.stores.records import Collection, CollectionMode, Embeddings, Found, Hit, ImageRecord
from services.stores.rows import RECORD_FIELDS, REGION_FIELDS, record_of
from services.stores.shards import CatalogLost

METADATA_BUDGET_S = 1.0
DEGRADED = "the records cannot be read now: very recent changes and deletions may not be seen"
RANKED_IN_PLACE = 1000  # candidates; ranking more would hold the event loop for milliseconds
TRUNCATED = "too many rows are copies or out of date: there may be more hits than these"

_logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Query:
    """What to look for: embeddings (Q, D), of which any may match."""

    embeddings: Embeddings
    limit: int
    offset: int = 0
    filter: str = ""
    min_score: float | None = None
    exact: bool = False
    group_by_image: bool = True
    fold_copies: bool = True

    @property
    def end(self) -> int:
        """How many hits have to be known."""
        return self.offset + self.limit


@dataclass(slots=True)
class _Clock:
    vector_search_s: float = 0.0
    metadata_s: float = 0.0


@dataclass(slots=True)
class _Answer:
    """What one round found."""

    hits: list[Hit]
    complete_to: float
    warnings: list[str] = field(default_factory=list)
    changed: bool = False


class Finder:
    """Finds the pictures nearest to a query."""

    def __init__(self, index: MilvusIndex, catalog: RedisCatalog) -> None:
        self._index = index
        self._catalog = catalog

    async def find(
        self, collection: Collection, query: Query, deadline: Deadline, *, trust_rows: bool = False
    ) -> Found:
        """Hits, best first; CatalogLost where Redis does not hold the collection, unless rows are trusted for now."""
        _check(query, collection)
        clock = _Clock()
        fetched, looked_twice = _first_fetch(query, collection), False
        while True:
            answer = await self._round(collection, query, fetched, deadline, clock, trust_rows=trust_rows)
            if answer.changed and not looked_twice:
                looked_twice = True
                continue
            sure = sum(hit.score > answer.complete_to for hit in answer.hits)
            if sure >= query.end or answer.complete_to == -math.inf:
                break
            if fetched >= MAX_ROWS:
                answer.warnings.append(TRUNCATED)
                break
            fetched = min(MAX_ROWS, 4 * fetched)
        return Found(
            hits=tuple(answer.hits[query.offset : query.end]),
            warnings=(*warnings_of(parse_filter(query.filter)), *answer.warnings),
            vector_search_ms=1000 * clock.vector_search_s,
            metadata_ms=1000 * clock.metadata_s,
        )

    async def _round(
        self,
        collection: Collection,
        query: Query,
        fetched: int,
        deadline: Deadline,
        clock: _Clock,
        *,
        trust_rows: bool,
    ) -> _Answer:
        start = time.perf_counter()
        answers = await self._nearest(collection, query, fetched, deadline)
        searched = time.perf_counter()
        min_score = -math.inf if query.min_score is None else query.min_score
        candidates = [each for each in merge(answers) if each.score >= min_score]
        records, warnings = await self._records(collection, candidates, deadline, trust_rows=trust_rows)
        clock.vector_search_s += searched - start
        clock.metadata_s += time.perf_counter() - searched
        ranked = partial(
            rank,
            _living(candidates, records),
            group_by_image=query.group_by_image,
            fold_copies=query.fold_copies,
            has_regions=collection.mode is CollectionMode.OBJECTS,
        )
        hits = await asyncio.to_thread(ranked) if len(candidates) > RANKED_IN_PLACE else ranked()
        return _Answer(hits, horizon(answers, fetched, min_score), warnings, _changed(candidates, records))

    async def _nearest(
        self, collection: Collection, query: Query, fetched: int, deadline: Deadline
    ) -> list[list[Neighbor]]:
        expression = expression_of(parse_filter(query.filter), self._index.engine)
        fields = REGION_FIELDS if collection.mode is CollectionMode.OBJECTS else ()
        if query.exact and collection.index != "FLAT":
            return await nearest_of_all(
                self._index,
                collection,
                query.embeddings,
                limit=fetched,
                expression=expression,
                fields=fields,
                deadline=deadline,
            )
        return await self._index.nearest(
            collection, query.embeddings, limit=fetched, expression=expression, fields=fields, deadline=deadline
        )

    async def _records(
        self, collection: Collection, candidates: Sequence[Candidate], deadline: Deadline, *, trust_rows: bool
    ) -> tuple[dict[str, ImageRecord], list[str]]:
        """The live records; where Redis cannot tell, what the rows themselves say, with a warning."""
        ids = {candidate.key.image_id for candidate in candidates}
        budget = Deadline.after(min(METADATA_BUDGET_S, deadline.left_s() / 2))
        try:
            return await self._catalog.records(collection, ids, budget), []
        except CatalogLost:
            if not trust_rows:
                raise
        except (Unavailable, DeadlineExceeded) as error:
            # The cause is logged once where Redis is asked; here it would be a line for each search.
            _logger.debug("%s: answering from the rows: %s", collection.name, error)
        keys = [str(candidate.key) for candidate in candidates]
        rows = await self._index.rows(collection.name, keys, ["key", *RECORD_FIELDS], deadline)
        newest = {record.image_id: record for record in sorted(map(record_of, rows), key=lambda each: each.version)}
        # A deletion is a version without regions; what it deleted is older.
        return {each: record for each, record in newest.items() if record.region_count}, [DEGRADED]


def _check(query: Query, collection: Collection) -> None:
    if query.limit < 1:
        raise InvalidArgument("limit: at least 1 is needed")
    if query.offset < 0:
        raise InvalidArgument("offset: 0 or more is needed")
    if query.end > MAX_ROWS:
        raise OutOfRange(f"offset: offset and limit together reach {MAX_ROWS} at most")
    if query.min_score is not None and math.isnan(query.min_score):
        raise InvalidArgument("min_score: a number is needed")
    check_embeddings(query.embeddings, collection.dimension)


def _first_fetch(query: Query, collection: Collection) -> int:
    """Rows to fetch first: some more than hits, since rows may be out of date, copies, or regions of one picture."""
    rows_a_hit = 3 if collection.mode is CollectionMode.OBJECTS and query.group_by_image else 1
    return min(MAX_ROWS, query.end * rows_a_hit + max(10, query.end // 4))


def _living(candidates: Sequence[Candidate], records: dict[str, ImageRecord]) -> list[Match]:
    """The candidates of live versions."""
    known = ((candidate, records.get(candidate.key.image_id)) for candidate in candidates)
    return [
        Match(candidate, record)
        for candidate, record in known
        if record is not None and record.version == candidate.key.version
    ]


def _changed(candidates: Sequence[Candidate], records: dict[str, ImageRecord]) -> bool:
    """Whether a picture got a new version between the search and the look into Redis: only its old rows were seen."""
    seen: dict[str, int] = {}
    for candidate in candidates:
        image_id, version = candidate.key.image_id, candidate.key.version
        seen[image_id] = max(version, seen.get(image_id, version))
    return any(image_id in records and version < records[image_id].version for image_id, version in seen.items())
