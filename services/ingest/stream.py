"""Stream: items are admitted one after the other, worked on side by side, and answered as they finish."""

import asyncio
import logging
from collections.abc import AsyncGenerator, AsyncIterator

from rpc.errors import DeadlineExceeded, Internal, ServiceError
from rpc.tasks import end
from services.ingest.admission import Admission
from services.ingest.item import Failed, Item, Outcome
from services.ingest.pipeline import Pipeline

logger = logging.getLogger(__name__)


class IngestStream:
    """One `Ingest` call; at most `max_items` are taken and not yet answered."""

    def __init__(
        self, collection: str, *, admission: Admission, pipeline: Pipeline, max_items: int, item_time_s: float
    ) -> None:
        self._collection = collection
        self._admission = admission
        self._pipeline = pipeline
        self._room = asyncio.Semaphore(max_items)
        self._item_time_s = item_time_s
        self._tasks: set[asyncio.Task[None]] = set()
        # Bounded by the room: an item leaves it only when its outcome was handed over.
        self._finished: asyncio.Queue[Outcome | None] = asyncio.Queue()

    async def outcomes(self, items: AsyncIterator[Item | Failed]) -> AsyncGenerator[Outcome, None]:
        """One outcome for each item, in order of completion; closing it cancels what still runs."""
        feeder = asyncio.create_task(self._feed(items))
        try:
            while (outcome := await self._finished.get()) is not None:
                yield outcome
                self._room.release()
            await feeder
        finally:
            await end(feeder)
            for task in self._tasks:
                task.cancel()
            # Asked once only: a write that has begun goes on to its end, see Pipeline.
            await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _feed(self, items: AsyncIterator[Item | Failed]) -> None:
        try:
            async for item in items:
                await self._room.acquire()
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
        outcome = await self._outcome(item, admitted)
        admitted.set()
        self._finished.put_nowait(outcome)

    async def _outcome(self, item: Item, admitted: asyncio.Event) -> Outcome:
        """What became of the item; nothing but a cancellation leaves as an exception."""
        try:
            async with self._admission.admit(self._collection, item, max_s=self._item_time_s) as size:
                admitted.set()
                return await self._pipeline.add(await self._admission.read(item, size))
        except ServiceError as error:
            return Failed(item.uri, error)
        except TimeoutError:
            return Failed(item.uri, DeadlineExceeded(f"the image took longer than {self._item_time_s:g} s"))
        except Exception:
            logger.exception("an item failed", extra={"collection": self._collection})
            return Failed(item.uri, Internal("an internal error; see the server's log"))
