"""Intake: what all streams share on the way from an item to its bytes: threads, memory, and one turn for each uri."""

import asyncio
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractAsyncContextManager, asynccontextmanager

from services.ingest.budget import ByteBudget
from services.ingest.item import Item, Picture
from services.ingest.reader import PictureReader
from services.ingest.turns import Turns


class Intake:
    """Reads pictures in a few threads and bounds the bytes that the process holds; close it when done."""

    def __init__(self, reader: PictureReader, *, threads: int, max_bytes: int) -> None:
        self._reader = reader
        self._bytes = ByteBudget(max_bytes)
        self._turns = Turns()
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="read")
        self._reading = asyncio.Semaphore(threads)

    def close(self) -> None:
        """Ends the threads; what they still read is dropped."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def take_bytes(self, item: Item) -> int:
        """Waits until there is room for the bytes that came with the item; gives what is to be given back."""
        return await self._bytes.take(len(item.image or b""))

    def give_bytes_back(self, size: int) -> None:
        """Makes room again."""
        self._bytes.give_back(size)

    def turn(self, collection: str, item: Item) -> AbstractAsyncContextManager[None]:
        """One item of a uri after the other, in the order of asking; without a uri the bytes are the identity."""
        return self._turns.of((collection, item.uri or item.image))

    @asynccontextmanager
    async def picture(self, item: Item) -> AsyncIterator[Picture]:
        """The item's picture, with room for what had to be read; raises ServiceError."""
        # The permit is held until there is room, so at most `threads` pictures lie outside the bound.
        async with self._reading:
            picture = await asyncio.get_running_loop().run_in_executor(self._threads, self._reader.read, item)
            taken = await self._bytes.take(len(picture.data)) if item.image is None else 0
        try:
            yield picture
        finally:
            self._bytes.give_back(taken)
