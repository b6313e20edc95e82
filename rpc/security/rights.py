"""Which right each method needs, and of which collections its messages speak."""

from collections.abc import Mapping
from dataclasses import dataclass
from operator import attrgetter
from typing import Any

from rpc.security.tokens import Right

_SEARCH, _INGEST = "/fovea.search.v1.SearchService/", "/fovea.ingest.v1.IngestService/"
INGEST = f"{_INGEST}Ingest"
LIST_COLLECTIONS = f"{_INGEST}ListCollections"
START_JOB = f"{_INGEST}StartJob"


@dataclass(frozen=True, slots=True)
class NeededRight:
    """A right to each collection that these fields of a request name."""

    right: Right
    fields: tuple[str, ...] = ("collection",)

    def collections(self, request: Any) -> list[str]:
        """The names in a request; what is left empty beside another name is none."""
        names = [attrgetter(field)(request) for field in self.fields]
        return names[:1] + [name for name in names[1:] if name]


_NAME = ("name",)

NEEDED: Mapping[str, NeededRight] = {
    f"{_SEARCH}Search": NeededRight(Right.READ),
    # A query of a batch that names another collection than the batch is refused by the service.
    f"{_SEARCH}BatchSearch": NeededRight(Right.READ),
    f"{_SEARCH}CountFacets": NeededRight(Right.READ),
    f"{_INGEST}GetCollection": NeededRight(Right.READ, _NAME),
    f"{_INGEST}GetImage": NeededRight(Right.READ),
    f"{_INGEST}ListImages": NeededRight(Right.READ),
    INGEST: NeededRight(Right.WRITE),
    f"{_INGEST}DeleteImages": NeededRight(Right.WRITE),
    f"{_INGEST}CreateCollection": NeededRight(Right.ADMIN, ("collection.name",)),
    f"{_INGEST}UpdateCollection": NeededRight(Right.ADMIN, ("name", "new_name")),
    f"{_INGEST}DeleteCollection": NeededRight(Right.ADMIN, _NAME),
    f"{_INGEST}Reindex": NeededRight(Right.ADMIN),
    f"{_INGEST}Scrub": NeededRight(Right.ADMIN),
}
"""Methods about collections; those that are in no list of this file are refused to every token."""

NEEDED_BY_WORK: Mapping[str | None, NeededRight] = {
    "ingest": NeededRight(Right.WRITE),
    "reindex": NeededRight(Right.ADMIN),
    "scrub": NeededRight(Right.ADMIN),
}
"""What a job needs, by the field of `StartJobRequest` that says what it does."""

ENCODING = (
    "/fovea.encoder.v1.EncoderService/",
    "/fovea.detector.v1.DetectorService/",
    "/inference.GRPCInferenceService/",
)
"""Services whose methods need the right to encode."""

OPEN = frozenset(
    {
        LIST_COLLECTIONS,
        *(f"{_INGEST}{method}" for method in ("GetJob", "ListJobs", "WatchJob", "CancelJob")),
        *(f"/inference.GRPCInferenceService/{method}" for method in ("ServerLive", "ServerReady")),
    }
)
"""Methods that any token may call: what they answer, or find, is checked instead of what they are asked."""
