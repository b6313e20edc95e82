"""The client for an event loop; the same calls as `Client`."""

import asyncio
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from typing import Self, TypeVar, Unpack

import grpc

from fovea.client import calls
from fovea.client.calls import LONG_STREAM_S, Call, SearchOptions
from fovea.client.channels import open_async_channel
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
from fovea.ingest.v1 import ingest_pb2
from fovea.ingest.v1.ingest_pb2_grpc import IngestServiceStub

Answer = TypeVar("Answer")
_Request = ingest_pb2.IngestRequest | IngestResult

_CALLS_AT_ONCE = 4


class AsyncClient(Connections):
    """Calls Fovea from one event loop. Make one, use it for everything, close it; see `Client` for what each call does."""

    _open = staticmethod(open_async_channel)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the channels; running calls are cancelled."""
        for channel in self._channels.values():
            await channel.close()

    async def search(self, collection: str, *parts: PartLike, **options: Unpack[SearchOptions]) -> SearchResults:
        """Search a collection by words (`str`), images (everything else) and `Part`s, fused by their weights."""
        return await self._send(calls.search(collection, parts, options, self._gateway))

    async def hits(
        self, collection: str, *parts: PartLike, page_size: int = 100, **options: Unpack[SearchOptions]
    ) -> AsyncIterator[Hit]:
        """All hits of a query, best first and read page by page, at most 10,000."""
        page = await self.search(collection, *parts, **options | {"limit": page_size})
        for hit in page:
            yield hit
        while page.next_page_token:
            page = await self._send(calls.next_page(collection, page.next_page_token, self._gateway))
            for hit in page:
                yield hit

    async def search_many(
        self, collection: str, queries: Sequence[Sequence[PartLike]], **options: Unpack[SearchOptions]
    ) -> tuple[calls.Outcome, ...]:
        """Up to 64 queries in one call; one that fails has its error in its position."""
        return await self._send(calls.search_many(collection, queries, options, self._gateway))

    async def count_facets(self, collection: str, *fields: str, filter: str = "") -> FacetCounts:
        """How many images of a collection, or of those that match, have each value of 1 to 8 fields."""
        return await self._send(calls.count_facets(collection, fields, filter))

    async def encode(
        self, contents: Sequence[str | ImageContent], *, encoder: str = "", sketches: bool = False
    ) -> Encoded:
        """Embed any number of words and images; of images, all are sketches or none is."""
        at_once = asyncio.Semaphore(_CALLS_AT_ONCE)
        async with asyncio.TaskGroup() as group:
            tasks = []
            for call in calls.encode(contents, encoder, sketches=sketches):
                await at_once.acquire()
                tasks.append(group.create_task(self._send(call)))
                tasks[-1].add_done_callback(lambda _: at_once.release())
        return Encoded.joined([task.result() for task in tasks])

    async def detect(
        self, image: ImageContent, *, detector: str = "", min_score: float | None = None, limit: int = 0
    ) -> Detections:
        """Find the objects of an image, best first; 0 stands for 100, None for a score of 0.5."""
        return await self._send(calls.detect(image, detector, min_score=min_score, limit=limit))

    async def create_collection(
        self, name: str, *, encoder: str = "", mode: calls.Mode = "whole_image", detector: str = "", index: str = ""
    ) -> CollectionInfo:
        """Create a collection; without an encoder it has the default one of those that are served."""
        call = calls.create_collection(name, encoder=encoder, mode=mode, detector=detector, index=index)
        return await self._send(call)

    async def collections(self) -> tuple[CollectionInfo, ...]:
        """All collections, by name."""
        return await self._send(calls.collections())

    async def collection(self, name: str) -> CollectionInfo:
        """One collection with its counts."""
        return await self._send(calls.collection(name))

    async def update_collection(
        self, name: str, *, new_name: str = "", display_name: str | None = None
    ) -> CollectionInfo:
        """Give a collection another name, another display name or both; searches and writes go on."""
        return await self._send(calls.update_collection(name, new_name=new_name, display_name=display_name))

    async def delete_collection(self, name: str) -> None:
        """Delete a collection; the image files stay."""
        await self._send(calls.delete_collection(name))

    async def images(
        self,
        collection: str,
        *,
        filter: str = "",
        page_size: int = 500,
    ) -> AsyncIterator[StoredImage]:
        """All images of a collection, or those that match, sorted by id and read page by page."""
        token = ""
        while True:
            found, token = await self._send(calls.page_of_images(collection, filter, page_size, token))
            for image in found:
                yield image
            if not token:
                return

    async def image(self, collection: str, image_id: str = "", *, uri: str = "") -> StoredImage:
        """The record of one image, by its id or its uri."""
        return await self._send(calls.image(collection, image_id, uri))

    async def delete_images(
        self,
        collection: str,
        *,
        image_ids: Sequence[str] = (),
        uris: Sequence[str] = (),
        filter: str = "",
    ) -> int:
        """Delete images; how many there were."""
        return await self._send(calls.delete_images(collection, image_ids, uris, filter))

    async def reindex(
        self,
        collection: str,
        encoder: str = "",
        *,
        drop_old: bool = False,
        rollback: bool = False,
        timeout_s: float = LONG_STREAM_S,
    ) -> AsyncIterator[ReindexProgress]:
        """Move a collection to another encoder, by default to the default one, and yield the progress while it is read.

        The last one comes when the new embeddings are served. A call that breaks changes nothing for searches; the next
        one goes on where it ended. With `rollback` and no encoder the former embeddings are served again.
        """
        call = calls.reindex(collection, encoder, drop_old=drop_old, rollback=rollback)
        async for progress in self._stream(call, timeout_s):
            yield progress

    async def scrub(
        self, collection: str, *, repair: bool = False, timeout_s: float = LONG_STREAM_S
    ) -> AsyncIterator[ScrubProgress]:
        """Compare the stores of a collection and yield each damage, and the progress, while they are read."""
        async for progress in self._stream(calls.scrub(collection, repair=repair), timeout_s):
            yield progress

    async def ingest(
        self, collection: str, items: Iterable[ItemLike], *, timeout_s: float = 60.0
    ) -> AsyncIterator[IngestResult]:
        """Add images and yield a result for each, in order of completion; files are read on a thread."""
        source, window, backoff, more = requests_of(collection, items), Window(timeout_s), Backoff(), True
        while more or window:
            await asyncio.sleep(backoff.after_failures(window.failures))
            try:
                async for result in self._ingest_stream(source, window, backoff, timeout_s):
                    if result is None:
                        more = False
                    else:
                        yield result
            except (grpc.RpcError, FoveaError) as error:
                await asyncio.sleep(
                    backoff.after_break(error if isinstance(error, FoveaError) else from_rpc_error(error))
                )

    async def _ingest_stream(
        self, source: Iterator[_Request], window: Window, backoff: Backoff, timeout_s: float
    ) -> AsyncIterator[IngestResult | None]:
        """One stream until its time is over or the source is empty, of which None tells."""
        call = self._stub(IngestServiceStub).Ingest(timeout=STREAM_S + timeout_s, metadata=self._metadata)
        opened, more = StreamTime(), True
        try:
            for unanswered in window.unanswered():
                await call.write(unanswered)
            while True:
                while more and window.has_room and not opened.is_over:
                    request = await asyncio.to_thread(next, source, None)
                    if request is None:
                        more = False
                        yield None
                    elif isinstance(request, IngestResult):
                        yield request
                    else:
                        window.put(request)
                        await call.write(request)
                if window.is_answered:
                    break
                response = await call.read()
                if response is grpc.aio.EOF:  # type: ignore[attr-defined]
                    raise FoveaError(grpc.StatusCode.UNAVAILABLE, "the stream ended before its results")
                backoff.reset()
                if (result := window.settle(response)) is not None:
                    yield result
            await call.done_writing()
            await call.read()
        finally:
            call.cancel()

    async def _send(self, call: Call[Answer]) -> Answer:
        try:
            return call.read(await self._method(call)(call.request, timeout=self._timeout_s, metadata=self._metadata))
        except grpc.RpcError as error:
            raise from_rpc_error(error) from error

    async def _stream(self, call: Call[Answer], timeout_s: float) -> AsyncIterator[Answer]:
        answers = self._method(call)(call.request, timeout=timeout_s, metadata=self._metadata)
        try:
            async for answer in answers:
                yield call.read(answer)
        except grpc.RpcError as error:
            raise from_rpc_error(error) from error
        finally:
            answers.cancel()
