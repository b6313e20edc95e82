"""Admission: what an item holds while it is worked on, taken by all streams in one order.

    key lock  ->  bytes  ->  thread

The key is the image's uri in its collection: items with one key go one after the other, in the order of asking. The
bytes are the item's size, known from its message or from the file system before anything is read. Threads read and
check images; what runs on a thread waits for nothing.

Whoever waits holds only what stands further left, and every wait for something further right ends, because the work on
an item that holds everything is limited in time. So no two items can wait for each other, in one stream or in several.

A stream asks for its next message only when its last item was admitted, so at most one message of a stream is not
counted in the bytes. The server bounds the number of streams.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import TypeVar
from weakref import WeakValueDictionary

from services.ingest.item import Item, Picture
from services.ingest.reader import PictureReader

ResultT = TypeVar("ResultT")


class Admission:
    """Admits the items of all streams and reads the images of admitted items; close it when done.

    At most `max_bytes` of images and `max_items` items are held at once, whatever the number of streams.
    """

    def __init__(self, reader: PictureReader, *, threads: int, max_bytes: int, max_items: int) -> None:
        self._reader = reader
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="read")
        self._budget = ByteBudget(max_bytes)
        # Small images count as this much, so that one bound holds for bytes and for items: a wait less in the order.
        self._least_bytes = max_bytes // max_items
        # A lock lives as long as somebody holds it or waits for it.
        self._locks: WeakValueDictionary[tuple[str, str], asyncio.Lock] = WeakValueDictionary()

    def close(self) -> None:
        """Ends the threads; what they still read is dropped."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    @asynccontextmanager
    async def admit(self, collection: str, item: Item, *, max_s: float) -> AsyncIterator[int]:
        """Holds the item's lock and bytes inside the block, which may take `max_s` seconds; gives the size to read.

        Waiting for the work on other items does not count. Raises ServiceError, and TimeoutError after `max_s`.
        """
        uri = item.uri or await self._run(self._reader.uri_of, item, max_s)
        async with self._lock_of((collection, uri)):
            size = await self._size_of(item, max_s)
            async with self._budget.hold(max(size, self._least_bytes)), asyncio.timeout(max_s):
                yield size

    async def read(self, item: Item, size: int) -> Picture:
        """The image of an item that was admitted with this size; raises ServiceError.

        A read whose item was cancelled meanwhile runs on, so each thread may hold one file more than was admitted.
        """
        return await asyncio.get_running_loop().run_in_executor(self._threads, self._reader.read, item, size)

    def _lock_of(self, key: tuple[str, str]) -> asyncio.Lock:
        return self._locks.setdefault(key, asyncio.Lock())

    async def _size_of(self, item: Item, max_s: float) -> int:
        if item.image is not None:
            return self._reader.size_of(item)
        return await self._run(self._reader.size_of, item, max_s)

    async def _run(self, question: Callable[[Item], ResultT], item: Item, max_s: float) -> ResultT:
        """Asks the reader on a thread; a file system that hangs fails the item."""
        async with asyncio.timeout(max_s):
            return await asyncio.get_running_loop().run_in_executor(self._threads, question, item)


class ByteBudget:
    """A fair semaphore over bytes; what is larger than the whole budget passes alone."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._free = max_bytes
        self._waiting: deque[tuple[int, asyncio.Future[None]]] = deque()

    @asynccontextmanager
    async def hold(self, size: int) -> AsyncIterator[None]:
        """Holds `size` bytes inside the block; who comes first is served first."""
        size = min(size, self._max_bytes)
        await self._take(size)
        try:
            yield
        finally:
            self._give_back(size)

    async def _take(self, size: int) -> None:
        if not self._waiting and size <= self._free:
            self._free -= size
            return
        granted: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((size, granted))
        try:
            await granted
        except asyncio.CancelledError:
            # The bytes may have been granted before the cancellation arrived. Either way the next one may fit now.
            self._give_back(0 if granted.cancelled() else size)
            raise

    def _give_back(self, size: int) -> None:
        self._free += size
        while self._waiting:
            wanted, granted = self._waiting[0]
            if not granted.done():
                if wanted > self._free:
                    return
                self._free -= wanted
                granted.set_result(None)
            self._waiting.popleft()
