"""What goes into a collection: items, the requests made of them, and which of those wait for their result."""

import hashlib
import os
import random
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeAlias

import grpc
from google.protobuf.struct_pb2 import Struct

from fovea.client.content import ImageContent, image_bytes
from fovea.client.errors import FoveaError, from_status
from fovea.ingest.v1 import ingest_pb2

MAX_WAITING = 64
MAX_WAITING_BYTES = 64 << 20
STREAM_S = 60.0
"""For how long one stream takes items: the next one may go to another replica, and every stream has a deadline."""

_ATTEMPTS = 8
_FIRST_BACKOFF_S = 0.1
_MAX_BACKOFF_S = 5.0
_RETRYABLE = {
    grpc.StatusCode.UNAVAILABLE,
    grpc.StatusCode.RESOURCE_EXHAUSTED,
    grpc.StatusCode.ABORTED,
    grpc.StatusCode.DEADLINE_EXCEEDED,
}

Status = Literal["added", "unchanged", "updated", "failed"]
_STATUSES: Mapping[int, Status] = {
    ingest_pb2.INGEST_STATUS_ADDED: "added",
    ingest_pb2.INGEST_STATUS_UNCHANGED: "unchanged",
    ingest_pb2.INGEST_STATUS_UPDATED: "updated",
    ingest_pb2.INGEST_STATUS_FAILED: "failed",
}


@dataclass(frozen=True, slots=True)
class Item:
    """One image to add.

    Without `image` the ingest service reads the file `uri` itself, below its image roots. Without `uri` it is the absolute
    path of a file, and `sha256:<hex>` of the bytes of everything else. Without `metadata` the stored ones are kept.
    """

    image: ImageContent | None = None
    uri: str = ""
    metadata: Mapping[str, Any] | None = None
    keep: bool = True
    """Whether the service stores a copy of the bytes, so that they can be shown."""


ItemLike: TypeAlias = Item | ImageContent


@dataclass(frozen=True, slots=True)
class IngestResult:
    """What became of one item: it is durable and can be found, or `error` says why not."""

    uri: str
    image_id: str
    status: Status
    error: FoveaError | None = None
    region_count: int = 0
    warnings: tuple[str, ...] = ()
    object_count: int | None = None
    """How many objects were found; None where none were looked for."""


def requests_of(collection: str, items: Iterable[ItemLike]) -> Iterator[ingest_pb2.IngestRequest | IngestResult]:
    """The request of each item, or its failure where its image cannot be read; the items are asked for one by one."""
    for given in items:
        item = given if isinstance(given, Item) else Item(given)
        try:
            yield ingest_pb2.IngestRequest(collection=collection, item=_message(item))
        except (OSError, ValueError) as error:
            fault = FoveaError(grpc.StatusCode.INVALID_ARGUMENT, f"the item cannot be sent: {error}")
            yield IngestResult(_uri(item, b""), "", "failed", fault)


@dataclass(slots=True)
class Waiting:
    """A request without a result: how often it has failed, when first, and whether it waits for the next stream."""

    request: ingest_pb2.IngestRequest
    failures: int = 0
    failed_s: float = 0.0
    is_repeated: bool = False

    def may_repeat(self, retry_s: float) -> bool:
        """Note a failure; False where the first one is longer ago than this."""
        now_s = time.monotonic()
        self.failed_s = self.failed_s or now_s
        self.failures += 1
        self.is_repeated = now_s - self.failed_s < retry_s
        return self.is_repeated


@dataclass(slots=True)
class Window:
    """The requests without a result, at most 64 and 64 MiB: no more is read from the source, however long it is.

    What fails for a reason that passes is repeated for `retry_s` seconds. A killed process, for example, leaves images
    locked for a while.
    """

    retry_s: float
    _waiting: list[Waiting] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self._waiting)

    @property
    def has_room(self) -> bool:
        """Whether another request may be sent; not where one is to be repeated, which the next stream does."""
        size = sum(len(waiting.request.item.image) for waiting in self._waiting)
        may_send = len(self._waiting) < MAX_WAITING and size < MAX_WAITING_BYTES
        return may_send and not any(waiting.is_repeated for waiting in self._waiting)

    @property
    def is_answered(self) -> bool:
        """Whether the stream has answered all that it was sent."""
        return all(waiting.is_repeated for waiting in self._waiting)

    @property
    def failures(self) -> int:
        """How often the worst of the items has failed."""
        return max((waiting.failures for waiting in self._waiting), default=0)

    def unanswered(self) -> list[ingest_pb2.IngestRequest]:
        """What a new stream has to send again, in order. It is safe: what is stored already is UNCHANGED."""
        for waiting in self._waiting:
            waiting.is_repeated = False
        return [waiting.request for waiting in self._waiting]

    def put(self, request: ingest_pb2.IngestRequest) -> None:
        """One more waits."""
        self._waiting.append(Waiting(request))

    def settle(self, response: ingest_pb2.IngestResponse) -> IngestResult | None:
        """The result of an item; None where it failed for a reason that passes, and is repeated in the next stream.

        Items of one uri are answered in their order.
        """
        result = _result(response)
        sent = (waiting for waiting in self._waiting if not waiting.is_repeated)
        waiting = next((waiting for waiting in sent if waiting.request.item.uri == response.uri), None)
        if waiting is None:
            return result
        if result.error and result.error.code in _RETRYABLE and waiting.may_repeat(self.retry_s):
            return None
        self._waiting.remove(waiting)
        return result


class Backoff:
    """How long to wait before the next stream; a stream that gave a result starts again at the beginning."""

    def __init__(self) -> None:
        self._failures = 0

    def reset(self) -> None:
        """A result came."""
        self._failures = 0

    def after_break(self, error: FoveaError) -> float:
        """Seconds to wait; raises the error where trying again is useless, or was 8 times in a row."""
        self._failures += 1
        if error.code not in _RETRYABLE or error.reason == "MESSAGE_TOO_LARGE" or self._failures == _ATTEMPTS:
            raise error
        return (error.retry_after_s or 0.0) + self.after_failures(self._failures)

    def after_failures(self, count: int) -> float:
        """Seconds to wait after this many failures of the same item."""
        grown_s = min(_FIRST_BACKOFF_S * 2.0 ** (count - 1), _MAX_BACKOFF_S) if count else 0.0
        return grown_s * random.uniform(0.5, 1.0)


@dataclass(slots=True)
class StreamTime:
    """When one stream stops taking items."""

    until_s: float = field(default_factory=lambda: time.monotonic() + STREAM_S)

    @property
    def is_over(self) -> bool:
        """Whether what comes now goes into the next stream."""
        return time.monotonic() >= self.until_s


def _result(response: ingest_pb2.IngestResponse) -> IngestResult:
    return IngestResult(
        uri=response.uri,
        image_id=response.image_id,
        status=_STATUSES.get(response.status, "failed"),
        error=from_status(response.error) if response.HasField("error") else None,
        region_count=response.region_count,
        warnings=tuple(response.warnings),
        object_count=response.object_count if response.HasField("object_count") else None,
    )


def _message(item: Item) -> ingest_pb2.Item:
    data = None if item.image is None else image_bytes(item.image)
    if data is None and not item.uri:
        raise ValueError("it has neither an image nor a uri")
    metadata = None
    if item.metadata is not None:
        metadata = Struct()
        metadata.update(dict(item.metadata))
    return ingest_pb2.Item(uri=_uri(item, data or b""), image=data, metadata=metadata, keep=item.keep)


def _uri(item: Item, data: bytes) -> str:
    if item.uri:
        return item.uri
    if isinstance(item.image, (str, os.PathLike)):
        return str(Path(item.image).absolute())
    return f"sha256:{hashlib.sha256(data).hexdigest()}"
