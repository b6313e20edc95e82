"""What is asked of the stores, and what they find: queries and hits."""

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from math import inf
from typing import NamedTuple

from domain.detection import Detection
from services.stores.records import Embeddings, ImageRecord


class RankKey(NamedTuple):
    """Where a hit stands among the hits of a query: those with lower keys come before it."""

    negated_score: float
    uri: str
    region_number: int


@dataclass(frozen=True, slots=True)
class NearestQuery:
    """What to look for: embeddings (Q, D), of which any may match, or, with `match_all`, all have to in one image.

    The hits of a page are those behind `offset` others; or those behind `after`, and then `offset` says how many hits
    there were before it, as far as known, so that enough rows are fetched at once.
    """

    embeddings: Embeddings
    limit: int
    offset: int = 0
    after: RankKey | None = None
    filter: str = ""
    min_score: float | None = None
    exact: bool = False
    group_by_image: bool = True
    fold_copies: bool = True
    match_all: bool = False

    @property
    def lowest_score(self) -> float:
        """The score below which nothing is a hit."""
        return -inf if self.min_score is None else self.min_score

    @property
    def end(self) -> int:
        """How many hits have to be known."""
        return self.offset + self.limit

    def page_of(self, hits: Sequence["Hit"]) -> Sequence["Hit"]:
        """Those of these hits, which are ranked, that belong on the page."""
        start = self.offset if self.after is None else bisect_right(hits, self.after, key=lambda hit: hit.rank_key)
        return hits[start : start + self.limit]


class RegionMatch(NamedTuple):
    """The region of an image that is nearest to one of the query embeddings; None for a whole image."""

    query_position: int
    region: Detection | None
    score: float


@dataclass(frozen=True, slots=True)
class Hit:
    """One image, or one region of it; `region` is None where rows stand for whole images, `region_number` is its position.

    `query_position` is the position of the query embedding that it is nearest to. `copies` names some of the `copy_count`
    exact copies that were folded into it. Where all query embeddings have to match, `matches` has what each of them found,
    and the hit itself stands for the worst of them.
    """

    record: ImageRecord
    score: float
    region: Detection | None
    query_position: int
    region_number: int = 0
    copies: tuple[str, ...] = ()
    copy_count: int = 0
    matches: tuple[RegionMatch, ...] = ()

    @property
    def rank_key(self) -> RankKey:
        """Where it stands."""
        return RankKey(-self.score, self.record.uri, self.region_number)


@dataclass(frozen=True, slots=True)
class FindResult:
    """Hits, best first, and the time that each store took."""

    hits: tuple[Hit, ...]
    warnings: tuple[str, ...] = ()
    vector_search_ms: float = 0.0
    metadata_ms: float = 0.0
