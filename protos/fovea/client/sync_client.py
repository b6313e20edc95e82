"""The client for threads."""

import queue
import time
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Self, TypeVar, Unpack

import grpc

from fovea.client import calls
from fovea.client.calls import LONG_STREAM_S, Call, SearchOptions
from fovea.client.channels import open_channel
from fovea.client.collections import CollectionInfo, ReindexProgress, ScrubProgress, StoredImage
from fovea.client.connections import Connections
from fovea.client.content import ImageContent
from fovea.client.errors import FoveaError, from_rpc_error
from fovea.client.ingesting import (
    STREAM_S,
    Backoff,
    IngestResult,
    ItemLike,
    StreamTime,
    Window,
    requests_of,
)
from fovea.client.parts import PartLike
from fovea.client.results import Detections, Encoded, FacetCounts, Hit, SearchResults
from fovea.encoder.v1 import encoder_pb2
from fovea.ingest.v1 import ingest_pb2
from fovea.ingest.v1.ingest_pb2_grpc import IngestServiceStub

Answer = TypeVar("Answer")

_CALLS_AT_ONCE = 4


class Client(Connections):
    """Calls Fovea; safe to share between threads. Make one, use it for everything, close it.

    Every call has a deadline, `timeout_s`, and raises FoveaError. What only reads is sent again where a server is away
    or full.
    """

    _open = staticmethod(open_channel)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the channels; running calls are cancelled."""
        for channel in self._channels.values():
            channel.close()

    def search(self, collection: str, *parts: PartLike, **options: Unpack[SearchOptions]) -> SearchResults:
        """Search a collection by words (`str`), images (everything else) and `Part`s, fused by their weights."""
        return self._send(calls.search(collection, parts, options, self._gateway))

    def hits(
        self, collection: str, *parts: PartLike, page_size: int = 100, **options: Unpack[SearchOptions]
    ) -> Iterator[Hit]:
        """All hits of a query, best first and read page by page, at most 10,000."""
        page = self.search(collection, *parts, **options | {"limit": page_size})
        yield from page
        while page.next_page_token:
            page = self._send(calls.next_page(collection, page.next_page_token, self._gateway))
            yield from page

    def search_many(
        self, collection: str, queries: Sequence[Sequence[PartLike]], **options: Unpack[SearchOptions]
    ) -> tuple[calls.Outcome, ...]:
        """Up to 64 queries in one call; one that fails has its error in its position."""
        return self._send(calls.search_many(collection, queries, options, self._gateway))

    def count_facets(self, collection: str, *fields: str, filter: str = "") -> FacetCounts:
        """How many images of a collection, or of those that match, have each value of 1 to 8 fields."""
        return self._send(calls.count_facets(collection, fields, filter))

    def encode(self, contents: Sequence[str | ImageContent], *, encoder: str = "", sketches: bool = False) -> Encoded:
        """Embed any number of words and images; of images, all are sketches or none is."""
        running: deque[Any] = deque()
        responses: list[encoder_pb2.EncodeResponse] = []
        try:
            for call in calls.encode(contents, encoder, sketches=sketches):
                running.append(
                    self._method(call).future(call.request, timeout=self._timeout_s, metadata=self._metadata)
                )
                if len(running) == _CALLS_AT_ONCE:
                    responses.append(running.popleft().result())
            responses.extend(future.result() for future in running)
        except grpc.RpcError as error:
            raise from_rpc_error(error) from error
        finally:
            for future in running:
                future.cancel()
        return Encoded.joined(responses)

    def detect(
        self, image: ImageContent, *, detector: str = "", min_score: float | None = None, limit: int = 0
    ) -> Detections:
        """Find the objects of an image, best first; 0 stands for 100, None for a score of 0.5."""
        return self._send(calls.detect(image, detector, min_score=min_score, limit=limit))

    def create_collection(
        self, name: str, *, encoder: str = "", mode: calls.Mode = "whole_image", detector: str = "", index: str = ""
    ) -> CollectionInfo:
        """Create a collection; without an encoder it has the default one of those that are served."""
        return self._send(calls.create_collection(name, encoder=encoder, mode=mode, detector=detector, index=index))

    def collections(self) -> tuple[CollectionInfo, ...]:
        """All collections, by name."""
        return self._send(calls.collections())

    def collection(self, name: str) -> CollectionInfo:
        """One collection with its counts."""
        return self._send(calls.collection(name))

    def update_collection(self, name: str, *, new_name: str = "", display_name: str | None = None) -> CollectionInfo:
        """Give a collection another name, another display name or both; searches and writes go on."""
        return self._send(calls.update_collection(name, new_name=new_name, display_name=display_name))

    def delete_collection(self, name: str) -> None:
        """Delete a collection; the image files stay."""
        self._send(calls.delete_collection(name))

    def images(
        self,
        collection: str,
        *,
        filter: str = "",
        page_size: int = 500,
    ) -> Iterator[StoredImage]:
        """All images of a collection, or those that match, sorted by id and read page by page."""
        token = ""
        while True:
            found, token = self._send(calls.page_of_images(collection, filter, page_size, token))
            yield from found
            if not token:
                return

    def image(self, collection: str, image_id: str = "", *, uri: str = "") -> StoredImage:
        """The record of one image, by its id or its uri."""
        return self._send(calls.image(collection, image_id, uri))

    def delete_images(
        self,
        collection: str,
        *,
        image_ids: Sequence[str] = (),
        uris: Sequence[str] = (),
        filter: str = "",
    ) -> int:
        """Delete images; how many there were."""
        return self._send(calls.delete_images(collection, image_ids, uris, filter))

    def reindex(
        self,
        collection: str,
        encoder: str = "",
        *,
        drop_old: bool = False,
        rollback: bool = False,
        timeout_s: float = LONG_STREAM_S,
    ) -> Iterator[ReindexProgress]:
        """Move a collection to another encoder, by default to the default one, and yield the progress while it is read.

        The last one comes when the new embeddings are served. A call that breaks changes nothing for searches; the next
        one goes on where it ended. With `rollback` and no encoder the former embeddings are served again.
        """
        call = calls.reindex(collection, encoder, drop_old=drop_old, rollback=rollback)
        yield from self._stream(call, timeout_s)

    def scrub(
        self, collection: str, *, repair: bool = False, timeout_s: float = LONG_STREAM_S
    ) -> Iterator[ScrubProgress]:
        """Compare the stores of a collection and yield each damage, and the progress, while they are read."""
        yield from self._stream(calls.scrub(collection, repair=repair), timeout_s)

    def ingest(self, collection: str, items: Iterable[ItemLike], *, timeout_s: float = 60.0) -> Iterator[IngestResult]:
        """Add images and yield a result for each, in order of completion; nothing is sent unless results are read.

        Items are read as the service takes them, at most 64 ahead. One that fails does so alone. A stream that breaks is
        opened again with what has no result yet; an item that was stored meanwhile is then `unchanged`. FoveaError after
        8 breaks without a result between, or where the service says that trying again is useless. `timeout_s` is the most
        that an item may take, and for how long one is repeated that fails for a reason that passes.
        """
        source, window, backoff, more = requests_of(collection, items), Window(timeout_s), Backoff(), True
        while more or window:
            time.sleep(backoff.after_failures(window.failures))
            try:
                for result in self._ingest_stream(source, window, backoff, timeout_s):
                    if result is None:
                        more = False
                    else:
                        yield result
            except (grpc.RpcError, FoveaError) as error:
                time.sleep(backoff.after_break(error if isinstance(error, FoveaError) else from_rpc_error(error)))

    def _ingest_stream(
        self,
        source: Iterator[ingest_pb2.IngestRequest | IngestResult],
        window: Window,
        backoff: Backoff,
        timeout_s: float,
    ) -> Iterator[IngestResult | None]:
        """One stream until its time is over or the source is empty, of which None tells."""
        sending: queue.SimpleQueue[ingest_pb2.IngestRequest | None] = queue.SimpleQueue()
        for unanswered in window.unanswered():
            sending.put(unanswered)
        call = self._stub(IngestServiceStub).Ingest(
            iter(sending.get, None), timeout=STREAM_S + timeout_s, metadata=self._metadata
        )
        opened, more = StreamTime(), True
        try:
            while True:
                while more and window.has_room and not opened.is_over:
                    request = next(source, None)
                    if request is None:
                        more = False
                        yield None
                    elif isinstance(request, IngestResult):
                        yield request
                    else:
                        window.put(request)
                        sending.put(request)
                if window.is_answered:
                    sending.put(None)
                    break
                response = next(call, None)
                if response is None:
                    raise FoveaError(grpc.StatusCode.UNAVAILABLE, "the stream ended before its results")
                backoff.reset()
                if (result := window.settle(response)) is not None:
                    yield result
            for _ in call:
                pass
        finally:
            sending.put(None)
            call.cancel()

    def _send(self, call: Call[Answer]) -> Answer:
        try:
            return call.read(self._method(call)(call.request, timeout=self._timeout_s, metadata=self._metadata))
        except grpc.RpcError as error:
            raise from_rpc_error(error) from error

    def _stream(self, call: Call[Answer], timeout_s: float) -> Iterator[Answer]:
        answers = self._method(call)(call.request, timeout=timeout_s, metadata=self._metadata)
        try:
            yield from map(call.read, answers)
        except grpc.RpcError as error:
            raise from_rpc_error(error) from error
        finally:
            answers.cancel()
