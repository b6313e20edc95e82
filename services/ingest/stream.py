"""Stream: items are taken while there is room, worked on side by side, and answered as they finish."""

import asyncio
import logging
from collections.abc import AsyncGenerator, AsyncIterator

from rpc.errors import DeadlineExceeded, Internal, ServiceError
from rpc.tasks import end
from services.ingest.intake import Intake
from services.ingest.item import Added, Failed, Item, Outcome
from services.ingest.pipeline import Pipeline

logger = logging.getLogger(__name__)


class IngestStream:
    """One `Ingest` call; at most `max_items` are taken and not yet answered."""

    def __init__(
        self, collection: str, *, intake: Intake, pipeline: Pipeline, max_items: int, item_time_s: float
    ) -> None:
        self._collection = collection
        self._intake = intake
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
                    continue
                taken = await self._intake.take_bytes(item)
                task = asyncio.create_task(self._work(item, taken))
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)
            if self._tasks:
                await asyncio.wait(self._tasks)
        finally:
            self._finished.put_nowait(None)

    async def _work(self, item: Item, taken: int) -> None:
        try:
            outcome = await self._outcome(item)
        finally:
            self._intake.give_bytes_back(taken)
        self._finished.put_nowait(outcome)

    async def _outcome(self, item: Item) -> Outcome:
        """What became of the item; nothing but a cancellation leaves as an exception."""
        try:
            async with asyncio.timeout(self._item_time_s):
                return await self._add(item)
        except ServiceError as error:
            return Failed(item.uri, error)
        except TimeoutError:
            return Failed(item.uri, DeadlineExceeded(f"the picture took longer than {self._item_time_s:g} s"))
        except Exception:
            logger.exception("an item failed", extra={"collection": self._collection})
            return Failed(item.uri, Internal("an internal error; see the server's log"))

    async def _add(self, item: Item) -> Added:
        async with self._intake.turn(self._collection, item), self._intake.picture(item) as picture:
            return await self._pipeline.add(picture)
