"""Interactive callers in a process of their own: a search twice a second, whether or not the last one was answered."""

import asyncio
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from multiprocessing import get_context
from typing import TYPE_CHECKING, Any

import grpc

from benchmarks.measure import p50, p99
from fovea.search.v1 import search_pb2, search_pb2_grpc

if TYPE_CHECKING:
    from fovea.search.v1.search_pb2_grpc import SearchServiceAsyncStub

PERIOD_S = 0.5
_TIMEOUT_S = 60.0
_WARM = 10


@dataclass(frozen=True, slots=True)
class Latency:
    """Medians and 99th percentiles in milliseconds; 0 with fewer than two answers."""

    answered: int
    p50_ms: float
    p99_ms: float


@dataclass(slots=True)
class Searches:
    """What the callers saw: seconds by kind of query, `image` or `text`, and how often which status was an error."""

    durations_s: dict[str, list[float]] = field(default_factory=lambda: {"image": [], "text": []})
    errors: Counter[str] = field(default_factory=Counter)

    def latency(self, kind: str) -> Latency:
        """The figures of one kind of query."""
        taken = self.durations_s[kind]
        if len(taken) < 2:
            return Latency(len(taken), 0.0, 0.0)
        return Latency(len(taken), round(1000 * p50(taken), 1), round(1000 * p99(taken), 1))

    def summary(self) -> dict[str, Any]:
        """All figures, as JSON holds them."""
        return {**{kind: asdict(self.latency(kind)) for kind in self.durations_s}, "errors": dict(self.errors)}


@dataclass(frozen=True, slots=True)
class Probe:
    """The queries to ask: images and, where a text encoder of the collection's space is served, sentences."""

    target: str
    collection: str
    images: list[bytes]
    texts: list[str]

    def run(self, seconds: float) -> Searches:
        """Asks for so long; blocks."""
        return asyncio.run(self._ask(seconds))

    async def _ask(self, seconds: float) -> Searches:
        seen = Searches()
        async with grpc.aio.insecure_channel(self.target, options=[("grpc.enable_http_proxy", 0)]) as channel:
            stub = search_pb2_grpc.SearchServiceStub(channel)
            parts = self._parts()
            for _ in range(_WARM):
                await self._search(stub, *next(parts), Searches())
            async with asyncio.TaskGroup() as asked:
                ends_s = time.perf_counter() + seconds
                while time.perf_counter() < ends_s:
                    asked.create_task(self._search(stub, *next(parts), seen))
                    await asyncio.sleep(PERIOD_S)
        return seen

    def _parts(self) -> Iterator[tuple[str, search_pb2.QueryPart]]:
        """Images, and every fourth time a sentence, for ever."""
        number = 0
        while True:
            if self.texts and number % 4 == 3:
                yield "text", search_pb2.QueryPart(text=self.texts[number // 4 % len(self.texts)])
            else:
                yield "image", search_pb2.QueryPart(image=self.images[number % len(self.images)])
            number += 1

    async def _search(
        self,
        stub: "SearchServiceAsyncStub",
        kind: str,
        part: search_pb2.QueryPart,
        seen: Searches,
    ) -> None:
        request = search_pb2.SearchRequest(collection=self.collection, parts=[part])
        started_s = time.perf_counter()
        try:
            await stub.Search(request, timeout=_TIMEOUT_S)
        except grpc.aio.AioRpcError as error:
            seen.errors[f"{error.code().name}: {error.details()}"] += 1
        else:
            seen.durations_s[kind].append(time.perf_counter() - started_s)


@contextmanager
def own_process() -> Iterator[ProcessPoolExecutor]:
    """A process for `Probe.run`, so that what the caller does besides does not slow down the searches."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as process:
        yield process
