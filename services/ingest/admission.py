"""Admission: what an item holds while it is worked on, acquired in one order by the items of all streams.

    per-key lock  ->  bytes  ->  thread

The key is the collection and the image's uri: items with the same key are worked on one after the other, in order of
arrival. The bytes are the item's size, known from its message or from the file system before anything is read; of an image that
is fetched from a URL, the most that is fetched. Threads
read and check images; what runs on a thread waits for nothing.

A waiting item holds only what comes earlier in this order, and work on an item that holds everything is limited in
time. So two items never wait for each other, in one stream or in several.

A stream asks for its next message only when its last item was admitted, so at most one message of each stream is not
counted in the bytes. The server limits the number of streams.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import TypeVar
from weakref import WeakValueDictionary

from services.ingest.item import Item, LoadedImage
from services.ingest.reader import ItemReader, source_errors
from services.stores.diagnosis import Damage
from sources.web import WebImages, is_url

ResultT = TypeVar("ResultT")


class ItemAdmission:
    """Admits the items of all streams and reads the images of admitted items; close it when done.

    At most `max_bytes` of images and `max_items` items are held at once, whatever the number of streams.
    """

    def __init__(
        self, reader: ItemReader, web: WebImages | None = None, *, threads: int, max_bytes: int, max_items: int
    ) -> None:
        self._reader = reader
        self._web = web
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="read")
        self._budget = ByteBudget(max_bytes)
        # Small images count as this much, so that one budget limits bytes and items: one wait less in the order above.
        self._least_bytes = max_bytes // max_items
        # A lock is dropped when no item holds it or waits for it.
        self._locks: WeakValueDictionary[tuple[str, str], asyncio.Lock] = WeakValueDictionary()

    def close(self) -> None:
        """Stop the threads; what they still read is dropped."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    @asynccontextmanager
    async def admit(self, collection: str, item: Item, *, max_s: float) -> AsyncIterator[int]:
        """Hold the item's lock and bytes inside the block, which may take `max_s` seconds; yields the size to read.

        Waiting for other items does not count. Raises ServiceError, and TimeoutError after `max_s`.
        """
        uri = item.uri or await self._on_thread(lambda: self._reader.uri_of(item), max_s)
        async with self._locks.setdefault((collection, uri), asyncio.Lock()):
            size = await self._size_of(item, max_s)
            async with self._budget.hold(max(size, self._least_bytes)), asyncio.timeout(max_s):
                yield size

    async def read(self, item: Item, size: int) -> LoadedImage:
        """The image of an item that was admitted with this size; raises ServiceError.

        A read goes on when its item is cancelled, so each thread may hold one more file than was admitted.
        """
        if self._web is not None and _is_on_the_web(item):
            with source_errors():
                item = replace(item, image=await self._web.fetch(item.uri))
        return await self._on_thread(lambda: self._reader.read(item, size))

    @asynccontextmanager
    async def reread(self, uri: str, sha256: str) -> AsyncIterator[bytes]:
        """The bytes that a stored image was ingested with, held inside the block; raises ServiceError."""
        size = await self._on_thread(lambda: self._reader.stored_size(uri, sha256))
        async with self._budget.hold(max(size, self._least_bytes)):
            yield await self._on_thread(lambda: self._reader.reread(uri, sha256))

    async def file_damage(self, uri: str, sha256: str) -> Damage | None:
        """What is wrong with the file of a stored image."""
        return await self._on_thread(lambda: self._reader.file_damage(uri, sha256))

    async def remove_kept(self, sha256: str) -> None:
        """Remove a kept file; raises Unavailable."""
        await self._on_thread(lambda: self._reader.remove_kept(sha256))

    async def keep(self, image: LoadedImage) -> None:
        """Write an upload's bytes unless they are stored; raises Unavailable."""
        await self._on_thread(lambda: self._reader.keep(image))

    async def _size_of(self, item: Item, max_s: float) -> int:
        if item.image is not None:
            return self._reader.size_of(item)
        if self._web is not None and _is_on_the_web(item):
            return self._web.max_bytes
        return await self._on_thread(lambda: self._reader.size_of(item), max_s)

    async def _on_thread(self, call: Callable[[], ResultT], max_s: float | None = None) -> ResultT:
        """With `max_s`, a file system that hangs fails the item."""
        async with asyncio.timeout(max_s):
            return await asyncio.get_running_loop().run_in_executor(self._threads, call)


def _is_on_the_web(item: Item) -> bool:
    return item.image is None and is_url(item.uri)


class ByteBudget:
    """A fair semaphore over bytes; a size above the whole budget is admitted alone."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._free = max_bytes
        # asyncio.Lock is first in, first out: its holder waits for bytes, the others for the lock. So a small image
        # does not overtake a large one for ever, and a cancelled wait leaves nothing to undo.
        self._head_of_line = asyncio.Lock()
        self._released = asyncio.Event()

    @asynccontextmanager
    async def hold(self, size: int) -> AsyncIterator[None]:
        """Hold `size` bytes inside the block, in order of arrival."""
        size = min(size, self._max_bytes)
        async with self._head_of_line:
            while size > self._free:
                self._released.clear()
                await self._released.wait()
            self._free -= size
        try:
            yield
        finally:
            self._free += size
            self._released.set()
