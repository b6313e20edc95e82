"""Streams: items are admitted one after the other, worked on concurrently, and answered as they finish."""

import asyncio
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager

from rpc.directory import EncoderDirectory
from rpc.errors import DeadlineExceeded, Internal, NotFound, ServiceError, Unavailable
from rpc.tasks import end
from services.ingest.admission import ItemAdmission
from services.ingest.item import Added, Failed, IngestOutcome, Item, LoadedImage
from services.ingest.pipeline import Pipeline
from services.ingest.settings import IngestSettings
from services.stores.images import ImageStore
from services.stores.records import CollectionMode, SpaceChanged

logger = logging.getLogger(__name__)


class Ingester:
    """Opens streams into collections, each with the encoder and detector of its collection."""

    def __init__(
        self, *, store: ImageStore, directory: EncoderDirectory, admission: ItemAdmission, settings: IngestSettings
    ) -> None:
        self._store = store
        self._directory = directory
        self._admission = admission
        self._settings = settings

    @asynccontextmanager
    async def stream(self, name: str) -> "AsyncIterator[IngestStream]":
        """A stream into the collection called `name`; raises ServiceError if it cannot be filled."""
        async with AsyncExitStack() as pipelines:
            yield IngestStream(
                name,
                admission=self._admission,
                pipeline=await CurrentPipeline.open(lambda: self._pipeline(name, pipelines)),
                max_items=self._settings.items_in_flight,
                item_time_s=self._settings.item_time_s,
            )

    async def _pipeline(self, name: str, pipelines: AsyncExitStack) -> Pipeline:
        """A pipeline into the collection as it is now, which ends with `pipelines`."""
        collection, detector = await self._store.get(name), None
        try:
            encoder = await self._directory.checked(collection.encoder, collection.space)
            if collection.mode is CollectionMode.OBJECTS:
                detector = await self._directory.detector(collection.detector)
        except NotFound as error:
            raise Unavailable(f"collection {name!r} cannot be filled now: {error}") from error
        pipeline = Pipeline(collection, encoder=encoder, detector=detector, store=self._store, settings=self._settings)
        return await pipelines.enter_async_context(pipeline)


class CurrentPipeline:
    """The pipeline of a stream, which is replaced when the collection has moved to another encoder.

    The one before goes on with what it has: its images come here again with SpaceChanged.
    """

    def __init__(self, pipeline: Pipeline, reopen: Callable[[], Awaitable[Pipeline]]) -> None:
        self._pipeline = pipeline
        self._reopen = reopen
        self._reopening = asyncio.Lock()

    @classmethod
    async def open(cls, reopen: Callable[[], Awaitable[Pipeline]]) -> "CurrentPipeline":
        """The pipeline of the collection as it is now."""
        return cls(await reopen(), reopen)

    async def add(self, image: LoadedImage) -> Added:
        """Returns when the image is durable and findable; raises ServiceError."""
        while True:
            pipeline = self._pipeline
            try:
                return await pipeline.add(image)
            except SpaceChanged:
                async with self._reopening:
                    if self._pipeline is pipeline:
                        self._pipeline = await self._reopen()


class IngestStream:
    """One `Ingest` call, in which at most `max_items` are read and not yet answered."""

    def __init__(
        self,
        collection: str,
        *,
        admission: ItemAdmission,
        pipeline: CurrentPipeline,
        max_items: int,
        item_time_s: float,
    ) -> None:
        self._collection = collection
        self._admission = admission
        self._pipeline = pipeline
        self._permits = asyncio.Semaphore(max_items)
        self._item_time_s = item_time_s
        self._tasks: set[asyncio.Task[None]] = set()
        # Bounded by the permits: one is released only when its item's outcome was yielded.
        self._finished: asyncio.Queue[IngestOutcome | None] = asyncio.Queue()

    async def outcomes(self, items: AsyncIterator[Item | Failed]) -> AsyncGenerator[IngestOutcome, None]:
        """One outcome for each item, in order of completion.

        Use it inside `aclosing`: closing cancels what still runs, and an unanswered item may or may not be stored.
        """
        feeder = asyncio.create_task(self._feed(items))
        try:
            while (outcome := await self._finished.get()) is not None:
                yield outcome
                self._permits.release()
            await feeder
        finally:
            await end(feeder)
            for task in self._tasks:
                task.cancel()
            # Cancelled once only: a write that has begun is completed, see Pipeline.
            await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _feed(self, items: AsyncIterator[Item | Failed]) -> None:
        try:
            async for item in items:
                await self._permits.acquire()
                if isinstance(item, Failed):
                    self._finished.put_nowait(item)
                else:
                    await self._start(item)
            if self._tasks:
                await asyncio.wait(self._tasks)
        finally:
            self._finished.put_nowait(None)

    async def _start(self, item: Item) -> None:
        """Returns when the item was admitted or has failed, so that its bytes are counted before more are read."""
        admitted = asyncio.Event()
        task = asyncio.create_task(self._work(item, admitted))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        await admitted.wait()

    async def _work(self, item: Item, admitted: asyncio.Event) -> None:
        """Only a cancellation leaves as an exception; every other error is the outcome of the item."""
        outcome: IngestOutcome
        try:
            outcome = await self._ingest(item, admitted)
        except ServiceError as error:
            outcome = Failed(item.uri, error)
        except TimeoutError:
            outcome = Failed(item.uri, DeadlineExceeded(f"the image took longer than {self._item_time_s:g} s"))
        except Exception:
            logger.exception("an item failed", extra={"collection": self._collection})
            outcome = Failed(item.uri, Internal("an internal error; see the server's log"))
        admitted.set()
        self._finished.put_nowait(outcome)

    async def _ingest(self, item: Item, admitted: asyncio.Event) -> Added:
        async with self._admission.admit(self._collection, item, max_s=self._item_time_s) as size:
            admitted.set()
            image = await self._admission.read(item, size)
            added = await self._pipeline.add(image)
            if image.is_upload:
                # Until the image was durable, its file may have been removed as unused.
                await self._admission.keep(image)
            return added
