"""Writers, readers and deleters on one collection, and images that only look like themselves."""

import asyncio
import io
import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import grpc
import numpy as np
from PIL import Image

from fovea.ingest.v1 import ingest_pb2
from fovea.search.v1 import search_pb2
from tests.support.services import add, item

if TYPE_CHECKING:
    from fovea.ingest.v1.ingest_pb2_grpc import IngestServiceAsyncStub
    from fovea.search.v1.search_pb2_grpc import SearchServiceAsyncStub


def drawn(number: int) -> bytes:
    """An image that only looks like itself: four quarters of colours of their own."""
    colours = np.random.default_rng(number).integers(0, 256, size=(2, 2, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(colours.repeat(16, axis=0).repeat(16, axis=1)).save(buffer, "PNG")
    return buffer.getvalue()


async def answer(
    search: "SearchServiceAsyncStub", name: str, image: bytes, limit: int = 5
) -> tuple[str, list[tuple[str, float]]]:
    """The space and the hits of a search by an image."""
    parts = [search_pb2.QueryPart(image=image)]
    response = await search.Search(search_pb2.SearchRequest(collection=name, parts=parts, limit=limit))
    return response.space, [(hit.uri, hit.score) for hit in response.hits]


@dataclass
class Traffic:
    """Writers, readers and deleters on one collection; each failure is kept."""

    name: str
    searches: "list[SearchServiceAsyncStub]"
    ingests: Callable[[], "list[IngestServiceAsyncStub]"]
    stored: dict[str, int] = field(default_factory=dict)
    deleted: set[str] = field(default_factory=set)
    failures: list[str] = field(default_factory=list)
    searched: int = 0
    _ended: asyncio.Event = field(default_factory=asyncio.Event)
    _progress: asyncio.Condition = field(default_factory=asyncio.Condition)

    async def write(self, writer: int) -> None:
        """Add, update and delete images of the writer's own."""
        number = 0
        while not self._ended.is_set():
            number += 1
            uri, content = f"w{writer}/{number}", 1_000_000 * writer + number
            if await self._put(uri, content) and number % 5 == 0:
                await self._put(uri, content + 500_000)
            if number % 7 == 0:
                await self._delete(f"w{writer}/{number - 3}")

    async def _put(self, uri: str, content: int) -> bool:
        stub = random.choice(self.ingests())
        self.stored.pop(uri, None)  # until it is answered, either version may be found
        try:
            [response] = await add(stub, self.name, item(uri, drawn(content)))
        except grpc.aio.AioRpcError as error:
            return self._failed(f"put {uri}: {error.code()} {error.details()}")
        if response.HasField("error"):
            return self._failed(f"put {uri}: {response.error}")
        self.stored[uri] = content
        return True

    async def _delete(self, uri: str) -> None:
        self.stored.pop(uri, None)
        request = ingest_pb2.DeleteImagesRequest(collection=self.name, uris=[uri])
        try:
            await random.choice(self.ingests()).DeleteImages(request)
            self.deleted.add(uri)
        except grpc.aio.AioRpcError as error:
            self._failed(f"delete {uri}: {error.code()} {error.details()}")

    def _failed(self, what: str) -> bool:
        self.failures.append(what)
        return False

    async def read(self, reader: int) -> None:
        """Search for an image that was acknowledged: it is found, and by an embedding of the space that is named."""
        search = self.searches[reader % len(self.searches)]
        while not self._ended.is_set():
            await asyncio.sleep(0.005)
            if self.stored:
                await self.check(search, *random.choice(list(self.stored.items())))

    async def check(self, search: "SearchServiceAsyncStub", uri: str, content: int) -> None:
        """Search for one image by its content."""
        deleted = set(self.deleted)
        try:
            _, hits = await answer(search, self.name, drawn(content), 3)
        except grpc.aio.AioRpcError as error:
            self.failures.append(f"search {uri}: {error.code()} {error.details()}")
            return
        async with self._progress:
            self.searched += 1
            self._progress.notify_all()
        if self.stored.get(uri) == content and (not hits or hits[0][0] != uri or hits[0][1] < 0.999):
            self.failures.append(f"search {uri}: found {hits}")
        if any(score > 1.001 for _, score in hits) or deleted & {found for found, _ in hits}:
            self.failures.append(f"search {uri}: {hits}")

    @asynccontextmanager
    async def running(self, count: int) -> AsyncIterator[None]:
        """So many writers and readers work inside the block."""
        async with asyncio.TaskGroup() as group:
            for number in range(count):
                group.create_task(self.write(number))
                group.create_task(self.read(number))
            try:
                yield
            finally:
                self._ended.set()

    async def past(self, count: int) -> None:
        """Wait until so many more searches are answered."""
        ends = self.searched + count
        async with asyncio.timeout(60), self._progress:
            await self._progress.wait_for(lambda: self.searched >= ends)

    async def check_all(self) -> None:
        """Everything that was acknowledged is found, and nothing that was deleted."""
        assert self.failures == []
        for uri, content in self.stored.items():
            await self.check(self.searches[0], uri, content)
        assert self.failures == []
