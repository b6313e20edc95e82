"""The way of queries: one search in Milvus, one look into Redis, and another round only for those that need it."""

import asyncio
import math
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

import numpy as np

from rpc.deadline import Deadline
from rpc.errors import DeadlineExceeded, InvalidArgument, OutOfRange, ServiceError, Unavailable
from rpc.tasks import gather
from services.stores.conjunction import candidates, rank_together
from services.stores.drafts import check_embeddings
from services.stores.filters.expression import expression_of
from services.stores.filters.grammar import parse_filter
from services.stores.filters.tree import warnings_of
from services.stores.milvus.rows import RECORD_FIELDS, Neighbor, RowSearch, listed, record_of
from services.stores.milvus.scanning import MAX_ROWS
from services.stores.milvus.store import RowStore
from services.stores.queries import FindResult, Hit, NearestQuery
from services.stores.ranking import Match, horizon, merge, rank
from services.stores.records import Collection, CollectionMode, ImageRecord
from services.stores.redis.catalog import RedisCatalog
from services.stores.redis.shards import CatalogLost

METADATA_BUDGET_S = 1.0
DEGRADED = "the records cannot be read now: very recent changes and deletions may not be seen"
RANKED_ON_LOOP = 1000  # rows; ranking more would hold the event loop for milliseconds
# Of one batch. Reading all its records at once would hold the event loop for longer than Redis may take to answer.
ROWS_A_CALL, CALLS_AT_ONCE = 2048, 16
SPARE_ROWS = 64  # rows of old versions among those of images that are compared with all regions
TRUNCATED = "too many rows are copies or out of date: there may be more hits than these"


@dataclass(slots=True)
class _Search:
    """A query on its way: what the last round found, how much the next one fetches, and the time of each store so far."""

    collection: Collection
    query: NearestQuery
    expression: str
    warnings: list[str]
    fetched: int
    hits: list[Hit] = field(default_factory=list)
    is_done: bool = False
    searched_again: bool = False
    is_degraded: bool = False
    milvus_s: float = 0.0
    redis_s: float = 0.0

    @property
    def of_rows(self) -> RowSearch:
        """How Milvus is asked; searches that ask alike are asked in one call."""
        return RowSearch(self.expression, self.fetched, self.query.exact)

    def settle(self, complete_to: float, *, has_changed: bool) -> None:
        """Decide after a round in which no hit above the score `complete_to` is missing whether another one is needed."""
        if has_changed and not self.searched_again:
            self.searched_again = True
            return
        nothing_is_missing = complete_to == -math.inf or complete_to < self.query.lowest_score
        known = [hit for hit in self.hits if hit.score > complete_to]
        if nothing_is_missing or len(self.query.page_of(known)) >= self.query.limit:
            self.is_done = True
        elif self.fetched >= MAX_ROWS:
            self.warnings.append(TRUNCATED)
            self.is_done = True
        else:
            # Copies, old versions or regions of one image were fetched instead of other hits.
            self.fetched = min(MAX_ROWS, 4 * self.fetched)

    def result(self) -> FindResult:
        """What was found."""
        return FindResult(
            hits=tuple(self.query.page_of(self.hits)),
            warnings=(*self.warnings, DEGRADED) if self.is_degraded else tuple(self.warnings),
            vector_search_ms=1000 * self.milvus_s,
            metadata_ms=1000 * self.redis_s,
        )


class Finder:
    """Finds the images nearest to queries."""

    def __init__(self, rows: RowStore, catalog: RedisCatalog) -> None:
        self._rows = rows
        self._catalog = catalog

    async def find(
        self, collection: Collection, queries: Sequence[NearestQuery], deadline: Deadline, *, trust_rows: bool = False
    ) -> list[FindResult | ServiceError]:
        """One outcome for each query, in order; a query that is wrong fails alone.

        CatalogLost where Redis does not hold the collection, unless rows are trusted for now.
        """
        searches = [self._begun(collection, query) for query in queries]
        permits = asyncio.Semaphore(CALLS_AT_ONCE)

        async def bounded(group: Sequence[_Search]) -> None:
            async with permits:
                await self._round(group, deadline, trust_rows=trust_rows)

        while left := [each for each in searches if isinstance(each, _Search) and not each.is_done]:
            await gather(*map(bounded, _groups(left)))
        return [each.result() if isinstance(each, _Search) else each for each in searches]

    def _begun(self, collection: Collection, query: NearestQuery) -> _Search | ServiceError:
        try:
            _check(query, collection)
            tree = parse_filter(query.filter)
            expression = expression_of(tree, self._rows.engine)
        except ServiceError as error:
            return error
        return _Search(collection, query, expression, list(warnings_of(tree)), _first_fetch(query, collection))

    async def _round(self, group: Sequence[_Search], deadline: Deadline, *, trust_rows: bool) -> None:
        """One call of each store for searches that ask Milvus alike."""
        collection, of_rows, start_s = group[0].collection, group[0].of_rows, time.perf_counter()
        embeddings = np.concatenate([search.query.embeddings for search in group])
        answers = await self._rows.nearest(collection, embeddings, of_rows, deadline)
        searched_s = time.perf_counter()
        answers_of = list(_split(answers, group))
        matches_of = [
            [match for match in merge(own) if match.row.score >= search.query.lowest_score]
            for search, own in zip(group, answers_of, strict=True)
        ]
        rows = [match.row for matches in matches_of for match in matches]
        records, is_degraded = await self._records(collection, rows, deadline, trust_rows=trust_rows)
        read_s = time.perf_counter()
        for search, own, matches in zip(group, answers_of, matches_of, strict=True):
            search.milvus_s += searched_s - start_s
            search.redis_s += read_s - searched_s
            search.is_degraded = is_degraded
            if search.query.match_all and len(own) > 1:
                complete_to = await self._match_together(search, own, records, deadline)
            else:
                search.hits = await _ranked(search, matches, records)
                complete_to = horizon(own, of_rows.limit)
            search.settle(complete_to, has_changed=_has_changed(matches, records))

    async def _match_together(
        self,
        search: _Search,
        answers: Sequence[Sequence[Neighbor]],
        records: Mapping[str, ImageRecord],
        deadline: Deadline,
    ) -> float:
        """Compare images that one of the embeddings found with all of them; the score above which no hit is missing."""
        compared, complete_to = candidates(answers, search.fetched, records)
        if not compared:
            search.hits = []
            return complete_to
        start_s = time.perf_counter()
        is_candidate = f"image_id in [{listed(record.image_id for record in compared)}]"
        of_rows = RowSearch(
            f"({search.expression}) and {is_candidate}" if search.expression else is_candidate,
            min(MAX_ROWS, sum(record.region_count for record in compared) + SPARE_ROWS),
            search.query.exact,
        )
        rows = await self._rows.nearest(search.collection, search.query.embeddings, of_rows, deadline)
        search.milvus_s += time.perf_counter() - start_s
        has_regions = search.collection.mode is CollectionMode.OBJECTS
        search.hits = rank_together(rows, records, search.query, has_regions=has_regions)
        return complete_to

    async def _records(
        self, collection: Collection, rows: Sequence[Neighbor], deadline: Deadline, *, trust_rows: bool
    ) -> tuple[dict[str, ImageRecord], bool]:
        """The live records; where Redis cannot tell, and then the second value is true, what the rows themselves say."""
        # Half of the time that is left is kept for reading the rows instead.
        budget = Deadline.after(min(METADATA_BUDGET_S, deadline.left_s() / 2))
        try:
            return await self._catalog.records(collection, {row.key.image_id for row in rows}, budget), False
        except CatalogLost:
            if not trust_rows:
                raise
        except (Unavailable, DeadlineExceeded):
            pass  # The cause is logged once where Redis is asked; here it would be a line for each search.
        keys = list({str(row.key): None for row in rows})
        found = await self._rows.read(collection.store_name, keys, ["key", *RECORD_FIELDS], deadline)
        newest = {record.image_id: record for record in sorted(map(record_of, found), key=lambda each: each.version)}
        # A deletion is a version without regions; what it deleted is older.
        return {image_id: record for image_id, record in newest.items() if record.region_count}, True


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


def _groups(searches: Iterable[_Search]) -> Iterator[list[_Search]]:
    """Searches that go to Milvus in one call."""
    groups: dict[RowSearch, list[_Search]] = defaultdict(list)
    for search in searches:
        groups[search.of_rows].append(search)
    for group in groups.values():
        call: list[_Search] = []
        rows = 0
        for search in group:
            more = len(search.query.embeddings) * search.fetched
            if call and rows + more > ROWS_A_CALL:
                yield call
                call, rows = [], 0
            call.append(search)
            rows += more
        yield call


def _split(answers: Sequence[list[Neighbor]], group: Iterable[_Search]) -> Iterator[Sequence[list[Neighbor]]]:
    """The answers of each search, one for each of its embeddings."""
    start = 0
    for search in group:
        end = start + len(search.query.embeddings)
        yield answers[start:end]
        start = end


async def _ranked(search: _Search, matches: Sequence[Match], records: Mapping[str, ImageRecord]) -> list[Hit]:
    has_regions = search.collection.mode is CollectionMode.OBJECTS
    ranked = partial(rank, matches, records, search.query, has_regions=has_regions)
    return await asyncio.to_thread(ranked) if len(matches) > RANKED_ON_LOOP else ranked()


def _has_changed(matches: Iterable[Match], records: Mapping[str, ImageRecord]) -> bool:
    """Whether an image got a new version between the search and the look into Redis: only its old rows were seen."""
    seen: dict[str, int] = {}
    for row, _ in matches:
        image_id, version = row.key.image_id, row.key.version
        seen[image_id] = max(version, seen.get(image_id, version))
    return any(image_id in records and version < records[image_id].version for image_id, version in seen.items())
