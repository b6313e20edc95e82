"""Pages of a query: a page token holds all it takes to go on, so the next page encodes nothing and any replica answers it.

A token is base64 of its kind, a keyed hash and either the state itself, or, where that is too large, the name under which
Redis keeps it for ten minutes. The state is a head as JSON, with the query's options and the rank of the last hit, and the
query's embeddings. The key of the hash is the collection's generation, which no caller knows: a token of another collection,
or of a former one of that name, is refused like one that was made up.
"""

import base64
import hashlib
import hmac
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import orjson

from domain.calibration import Calibration
from domain.detection import Detection
from domain.limits import MAX_OFFSET, MAX_PAGE_TOKEN_CHARACTERS
from rpc.deadline import Deadline
from rpc.errors import InvalidArgument, ServiceError
from services.search.planner import QueryEmbeddings
from services.search.query import PartTerm, RefinedHit, SearchQuery
from services.stores.queries import NearestQuery, RankKey
from services.stores.records import Collection
from services.stores.redis.kept_queries import KeptQueries

KEEP_TIMEOUT_S = 1.0
MAX_SPREAD_HITS, MAX_GROUPED_HITS = 200, 1000  # where hits are compared with one another, the last page ends there
NOT_KEPT = "this query is too large for a page token and cannot be kept now; use offset for the next page"

_INLINE, _KEPT = b"\x01", b"\x02"
_HASH_BYTES = 16
_NAME_BYTES = 16
_LENGTH_BYTES = 4
# The fields of a SearchQuery that a token keeps.
_OPTIONS = (
    *("limit", "filter", "min_score", "exact", "group_by_image", "fold_copies", "match_all"),
    *("explain", "group_near_duplicates", "diversity", "relevance"),
)


@dataclass(frozen=True, slots=True)
class Page:
    """A page of a query: `start` hits come before it; behind the first page, those ranked up to `after` do."""

    query: SearchQuery
    embedded: QueryEmbeddings
    start: int = 0
    after: RankKey | None = None

    @property
    def nearest(self) -> NearestQuery:
        """What the stores are asked for: the page with one hit more, which tells whether there is a next page.

        Hits that are compared with one another are all fetched from the first one on.
        """
        query = self.query
        compares = query.compares_hits
        return NearestQuery(
            self.embedded.embeddings,
            limit=self._compared_hits if compares else query.page_size + 1,
            offset=0 if compares else self.start,
            after=None if compares else self.after,
            filter=query.filter,
            min_score=self._min_score,
            exact=query.exact,
            group_by_image=query.group_by_image,
            fold_copies=query.fold_copies,
            match_all=query.match_all,
        )

    @property
    def _min_score(self) -> float | None:
        """The lowest score of a hit: what is asked for, or that from which on hits stand out."""
        lowest = [self.query.min_score] if self.query.min_score is not None else []
        if self.query.relevance and self.embedded.calibration is not None:
            lowest.append(self.embedded.calibration.lowest_score)
        return max(lowest, default=None)

    @property
    def _compared_hits(self) -> int:
        # An order by diversity holds for the same hits only; groups may grow from page to page.
        if self.query.diversity:
            return MAX_SPREAD_HITS
        return min(MAX_GROUPED_HITS, max(MAX_SPREAD_HITS, 4 * (self.start + self.query.page_size)))

    def cut(self, hits: Sequence[RefinedHit]) -> tuple[tuple[RefinedHit, ...], bool]:
        """Those of the hits found that are on the page, and whether another page follows."""
        size, rest = self.query.page_size, hits
        if self.query.compares_hits:
            if self.after is None or self.query.diversity:
                rest = hits[self.start :]
            else:
                rest = [each for each in hits if each.hit.rank_key > self.after]
        return tuple(rest[:size]), len(rest) > size and self.start + size <= MAX_OFFSET


class Paging:
    """Writes and reads page tokens."""

    def __init__(self, kept: KeptQueries) -> None:
        self._kept = kept

    async def token_after(
        self, collection: Collection, page: Page, hits: Sequence[RefinedHit], deadline: Deadline
    ) -> str:
        """The token of the page behind these hits; a ServiceError where it would have to be kept and cannot be."""
        state = _written(page, after=hits[-1].hit.rank_key, start=page.start + len(hits))
        token = _sealed(collection, _INLINE, state)
        if len(token) <= MAX_PAGE_TOKEN_CHARACTERS:
            return token
        name = hashlib.sha256(state).digest()[:_NAME_BYTES]
        await self._kept.keep(name.hex(), state, _at_most(KEEP_TIMEOUT_S, deadline))
        return _sealed(collection, _KEPT, name)

    async def page(self, collection: Collection, query: SearchQuery, deadline: Deadline) -> Page | ServiceError:
        """The page that a query's token asks for; InvalidArgument where it is not one of ours, or no longer."""
        try:
            return await self._page(collection, query, deadline)
        except ServiceError as error:
            return error

    async def _page(self, collection: Collection, query: SearchQuery, deadline: Deadline) -> Page:
        kind, state = _opened(collection, query.page_token)
        if kind == _KEPT:
            kept = await self._kept.kept(state.hex(), deadline)
            if kept is None:
                raise InvalidArgument("page_token: it is older than ten minutes; search again from the first page")
            state = kept
        return _read(collection, query, state)


def _written(page: Page, *, after: RankKey, start: int) -> bytes:
    terms = page.embedded.terms
    arrays = [
        np.asarray(each, dtype="<f4") for each in (page.embedded.embeddings, *(term.embeddings for term in terms))
    ]
    head = orjson.dumps(
        {
            "options": {name: getattr(page.query, name) for name in _OPTIONS},
            "after": list(after),
            "start": start,
            "calibration": page.embedded.calibration,
            "shapes": [each.shape for each in arrays],
            "parts": [term.part for term in terms],
            "regions": [[each.box, each.label, each.score, each.class_id] for each in page.embedded.regions],
        }
    )
    return len(head).to_bytes(_LENGTH_BYTES, "little") + head + b"".join(each.tobytes() for each in arrays)


def _read(collection: Collection, query: SearchQuery, state: bytes) -> Page:
    try:
        end = _LENGTH_BYTES + int.from_bytes(state[:_LENGTH_BYTES], "little")
        head: dict[str, Any] = orjson.loads(state[_LENGTH_BYTES:end])
        options = head["options"] | ({"limit": query.limit} if query.limit else {})
        sizes = [int(np.prod(shape)) for shape in head["shapes"]]
        flat = np.split(np.frombuffer(state[end:], dtype="<f4"), np.cumsum(sizes)[:-1])
        embeddings, *terms = (each.reshape(shape) for each, shape in zip(flat, head["shapes"], strict=True))
        regions = tuple(Detection(tuple(box), *rest) for box, *rest in head["regions"])
        calibration = Calibration(**head["calibration"]) if head["calibration"] else None
        parts = tuple(map(PartTerm, head["parts"], terms))
        return Page(
            SearchQuery(collection.name, parts=(), page_token=query.page_token, **options),
            QueryEmbeddings(embeddings, regions, terms=parts, calibration=calibration),
            start=head["start"],
            after=RankKey(*head["after"]),
        )
    except (ValueError, TypeError, KeyError) as error:  # of another release
        raise _refusal() from error


def _sealed(collection: Collection, kind: bytes, content: bytes) -> str:
    sealed = kind + _hash(collection, kind + content) + content
    return base64.urlsafe_b64encode(sealed).decode().rstrip("=")


def _opened(collection: Collection, token: str) -> tuple[bytes, bytes]:
    """The kind and the content of a token."""
    if len(token) > MAX_PAGE_TOKEN_CHARACTERS:
        raise _refusal()
    try:
        sealed = base64.b64decode(token + "=" * (-len(token) % 4), altchars=b"-_", validate=True)
    except ValueError as error:
        raise _refusal() from error
    kind, found, content = sealed[:1], sealed[1 : 1 + _HASH_BYTES], sealed[1 + _HASH_BYTES :]
    if not hmac.compare_digest(found, _hash(collection, kind + content)):
        raise _refusal()
    return kind, content


def _hash(collection: Collection, content: bytes) -> bytes:
    # BLAKE2 with a key is a MAC, and five times as fast as HMAC: each answer with a next page makes one.
    key, name = collection.generation.encode(), collection.name.encode()
    return hashlib.blake2b(name + b"/" + content, key=key, digest_size=_HASH_BYTES, person=b"page_token").digest()


def _refusal() -> ServiceError:
    return InvalidArgument(
        "page_token: send the next_page_token of the page before, on the same collection; where the collection was moved "
        "or created again, search again from the first page"
    )


def _at_most(seconds: float, deadline: Deadline) -> Deadline:
    return Deadline(min(deadline.at_s, Deadline.after(seconds).at_s))
