"""A search query and its parts, validated on creation, and the answer to a query."""

import math
from dataclasses import dataclass
from typing import Literal, NamedTuple

from domain.box import Box, is_inside
from domain.detection import Detection
from domain.limits import DEFAULT_HITS, MAX_HITS, MAX_OFFSET, MAX_QUERY_OBJECTS, MAX_WEIGHT
from rpc.clients import EncodeTimings
from rpc.errors import InvalidArgument
from services.search.facets import Facet, FacetCounter
from services.stores.queries import Hit
from services.stores.records import Embeddings

ContentKind = Literal["text", "image", "sketch", "image_id", "embedding", "image_url"]
# The kinds that bring an image along, which may be used in parts.
_IMAGES = ("image", "image_url")


@dataclass(frozen=True, slots=True)
class QueryPart:
    """One part of a query; `position` is its position in the request, for error messages."""

    position: int
    kind: ContentKind
    content: str | bytes
    weight: float = 1.0
    region: Box | None = None
    detect: bool = False
    regions: tuple[Box, ...] = ()
    match_all: bool = False

    def __post_init__(self) -> None:
        if not math.isfinite(self.weight):
            raise self.fault("weight", "it must be a finite number")
        if abs(self.weight) > MAX_WEIGHT:
            raise self.fault("weight", f"it must be between -{MAX_WEIGHT:.0f} and {MAX_WEIGHT:.0f}")
        if not self.content or (isinstance(self.content, str) and not self.content.strip()):
            raise self.fault(self.kind, "it is empty")
        self._check_regions()

    def _check_regions(self) -> None:
        for field, boxes in (("region", () if self.region is None else (self.region,)), ("regions", self.regions)):
            if boxes and self.kind not in _IMAGES:
                raise self.fault(field, "only an image has regions")
            if not all(map(is_inside, boxes)):
                raise self.fault(field, "it must lie inside the image: 0 <= min < max <= 1 for x and for y")
        if self.detect and self.kind not in _IMAGES:
            raise self.fault("detect", "objects are detected in an image only")
        if self.detect and (self.region is not None or self.regions):
            raise self.fault("detect", "choose either regions or detect")
        if self.region is not None and self.regions:
            raise self.fault("regions", "choose either region or regions")
        if len(self.regions) > MAX_QUERY_OBJECTS:
            raise self.fault("regions", f"an image has at most {MAX_QUERY_OBJECTS} in a query, not {len(self.regions)}")
        if self.match_all and self.kind not in (*_IMAGES, "image_id"):
            raise self.fault("match", "only an image has regions")

    @property
    def name(self) -> str:
        """The part's name in messages."""
        return f"parts[{self.position}]"

    def fault(self, field: str, message: str, *, reason: str = "") -> InvalidArgument:
        """An error about one field of this part."""
        return InvalidArgument(f"{self.name}.{field}: {message}", reason=reason)


class EncoderCall(NamedTuple):
    """A call of an encoder: how many inputs it had, its stages, and how long it was waited for."""

    encoder: str
    input_count: int
    timings: EncodeTimings
    call_ms: float


class PartTerm(NamedTuple):
    """What a part, by its position in the request, adds to the query's embedding: (R, D), or (1, D) for all rows alike."""

    part: int
    embeddings: Embeddings


class Contribution(NamedTuple):
    """How much of a hit's score is from a part."""

    part: int
    score: float


@dataclass(frozen=True, slots=True)
class SearchQuery:
    """One query on one collection; `parts` holds no part of weight 0.

    With a `page_token` it goes on where a page ended: what it looks for is in the token, and a `limit` of 0 is that of the
    page before.
    """

    collection: str
    parts: tuple[QueryPart, ...]
    limit: int = DEFAULT_HITS
    offset: int = 0
    filter: str = ""
    min_score: float | None = None
    exact: bool = False
    group_by_image: bool = True
    fold_copies: bool = True
    match_all: bool = False
    explain: bool = False
    group_near_duplicates: bool = False
    diversity: float = 0.0
    relevance: bool = False
    facets: tuple[str, ...] = ()
    page_token: str = ""

    def __post_init__(self) -> None:
        if not self.collection:
            raise InvalidArgument("collection: name the collection to search")
        if not self.parts and not self.page_token:
            raise InvalidArgument("parts: every weight is 0; give one part another weight")
        if sum(part.detect for part in self.parts) > 1:
            raise InvalidArgument("parts: only one part may ask for detect")
        if self.match_all and not self.group_by_image:
            raise InvalidArgument("group_by_image: where all regions have to match, a hit is an image; leave it out")
        if self.limit < 0:
            raise InvalidArgument(f"limit: it must not be negative; 0 means {DEFAULT_HITS}")
        if not 0 <= self.offset <= MAX_OFFSET:
            raise InvalidArgument(f"offset: it must be between 0 and {MAX_OFFSET:,}")
        FacetCounter(self.facets, with_labels=True)  # raises where a field cannot be counted
        if not 0 <= self.diversity <= 1:
            raise InvalidArgument("diversity: it must be between 0 and 1")
        if self.min_score is not None and not math.isfinite(self.min_score):
            raise InvalidArgument("min_score: it must be a finite number")

    @property
    def page_size(self) -> int:
        """The limit with its default and maximum applied."""
        return min(self.limit or DEFAULT_HITS, MAX_HITS)

    @property
    def compares_hits(self) -> bool:
        """Whether hits are compared with one another, so that those of other pages have to be known."""
        return self.group_near_duplicates or self.diversity > 0


@dataclass(frozen=True, slots=True)
class RefinedHit:
    """A hit with the near duplicates that it stands for, best first, and what the parts contributed to its score.

    `confidence` is how likely it is right, None where that is not known.
    """

    hit: Hit
    near_duplicates: tuple[Hit, ...] = ()
    contributions: tuple[Contribution, ...] = ()
    confidence: float | None = None


@dataclass(frozen=True, slots=True)
class SearchAnswer:
    """The hits of one query, best first, and the time that its stages took."""

    hits: tuple[RefinedHit, ...]
    space: str
    encode_ms: float = 0.0
    vector_search_ms: float = 0.0
    metadata_ms: float = 0.0
    total_ms: float = 0.0
    encoder_calls: tuple[EncoderCall, ...] = ()
    query_regions: tuple[Detection, ...] = ()
    warnings: tuple[str, ...] = ()
    next_page_token: str = ""
    facets: tuple[Facet, ...] = ()
