"""A search query and its parts, validated on creation, and the answer to a query."""

import math
from dataclasses import dataclass
from typing import Literal

from domain.box import Box, is_inside
from domain.detection import Detection
from domain.limits import DEFAULT_HITS, MAX_HITS, MAX_OFFSET, MAX_WEIGHT
from rpc.errors import InvalidArgument
from services.stores.records import Hit

ContentKind = Literal["text", "image", "sketch", "image_id", "embedding"]


@dataclass(frozen=True, slots=True)
class QueryPart:
    """One part of a query; `position` is its position in the request, for error messages."""

    position: int
    kind: ContentKind
    content: str | bytes
    weight: float = 1.0
    region: Box | None = None
    detect: bool = False

    def __post_init__(self) -> None:
        if not math.isfinite(self.weight):
            raise self.fault("weight", "it must be a finite number")
        if abs(self.weight) > MAX_WEIGHT:
            raise self.fault("weight", f"it must be between -{MAX_WEIGHT:.0f} and {MAX_WEIGHT:.0f}")
        if not self.content or (isinstance(self.content, str) and not self.content.strip()):
            raise self.fault(self.kind, "it is empty")
        if self.region is not None and self.kind != "image":
            raise self.fault("region", "only an image has regions")
        if self.region is not None and not is_inside(self.region):
            raise self.fault("region", "it must lie inside the image: 0 <= min < max <= 1 for x and for y")
        if self.detect and self.kind != "image":
            raise self.fault("detect", "objects are detected in an image only")
        if self.detect and self.region is not None:
            raise self.fault("detect", "choose either a region or detect")

    @property
    def name(self) -> str:
        """The part's name in messages."""
        return f"parts[{self.position}]"

    def fault(self, field: str, message: str, *, reason: str = "") -> InvalidArgument:
        """An error about one field of this part."""
        return InvalidArgument(f"{self.name}.{field}: {message}", reason=reason)


@dataclass(frozen=True, slots=True)
class SearchQuery:
    """One query on one collection; `parts` holds no part of weight 0."""

    collection: str
    parts: tuple[QueryPart, ...]
    limit: int = DEFAULT_HITS
    offset: int = 0
    filter: str = ""
    min_score: float | None = None
    exact: bool = False
    group_by_image: bool = True
    fold_copies: bool = True

    def __post_init__(self) -> None:
        if not self.collection:
            raise InvalidArgument("collection: name the collection to search")
        if not self.parts:
            raise InvalidArgument("parts: every weight is 0; give one part another weight")
        if sum(part.detect for part in self.parts) > 1:
            raise InvalidArgument("parts: only one part may ask for detect")
        if self.limit < 0:
            raise InvalidArgument(f"limit: it must not be negative; 0 means {DEFAULT_HITS}")
        if not 0 <= self.offset <= MAX_OFFSET:
            raise InvalidArgument(f"offset: it must be between 0 and {MAX_OFFSET:,}")
        if self.min_score is not None and not math.isfinite(self.min_score):
            raise InvalidArgument("min_score: it must be a finite number")

    @property
    def page_size(self) -> int:
        """The limit with its default and maximum applied."""
        return min(self.limit or DEFAULT_HITS, MAX_HITS)


@dataclass(frozen=True, slots=True)
class SearchAnswer:
    """The hits of one query, best first, and the time that its stages took."""

    hits: tuple[Hit, ...]
    space: str
    encode_ms: float
    vector_search_ms: float
    metadata_ms: float
    total_ms: float
    query_regions: tuple[Detection, ...] = ()
    warnings: tuple[str, ...] = ()
