"""Micro-batches: single requests in, batches out. The requests that wait when a worker is free are the next batch."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, Self, TypeVar

from rpc.errors import ServiceError
from rpc.tasks import end, gather

RequestT = TypeVar("RequestT")
AnswerT = TypeVar("AnswerT")


class MicroBatcher(Generic[RequestT, AnswerT]):
    """Calls `handle` with batches of requests, `calls` at a time; an async context manager that owns its workers.

    `handle` returns one answer for each request, in order, a ServiceError for a request that fails alone; an exception
    fails the whole batch. There is no timer, and the queue is bounded by the number of waiting callers.
    """

    def __init__(
        self,
        handle: Callable[[Sequence[RequestT]], Awaitable[Sequence[AnswerT | ServiceError]]],
        *,
        max_requests: int,
        calls: int,
        max_bytes: int = 0,
        size_of: Callable[[RequestT], int] = lambda _: 0,
    ) -> None:
        self._handle = handle
        self._max_requests = max_requests
        self._max_bytes = max_bytes
        self._size_of = size_of
        self._calls = calls
        self._waiting: deque[tuple[RequestT, asyncio.Future[AnswerT]]] = deque()
        self._arrived = asyncio.Event()
        self._workers: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Self:
        self._workers = [asyncio.create_task(self._work()) for _ in range(self._calls)]
        return self

    async def __aexit__(self, *_: object) -> None:
        await gather(*(end(worker) for worker in self._workers))
        while self._waiting:
            self._waiting.popleft()[1].cancel()

    async def submit(self, request: RequestT) -> AnswerT:
        """The answer to one request; raises its own error or that of its batch."""
        answer: asyncio.Future[AnswerT] = asyncio.get_running_loop().create_future()
        self._waiting.append((request, answer))
        self._arrived.set()
        return await answer

    async def _work(self) -> None:
        while True:
            if batch := self._next_batch():
                await self._answer(batch)
            else:
                self._arrived.clear()
                await self._arrived.wait()

    def _next_batch(self) -> list[tuple[RequestT, "asyncio.Future[AnswerT]"]]:
        """The oldest requests that fit into one call, without those whose caller has left."""
        batch: list[tuple[RequestT, asyncio.Future[AnswerT]]] = []
        size = 0
        while self._waiting and len(batch) < self._max_requests:
            request, answer = self._waiting[0]
            if not answer.done():
                size += self._size_of(request)
                # A request above the limit goes alone, so the first one always fits.
                if batch and size > self._max_bytes > 0:
                    break
                batch.append((request, answer))
            self._waiting.popleft()
        return batch

    async def _answer(self, batch: Sequence[tuple[RequestT, "asyncio.Future[AnswerT]"]]) -> None:
        try:
            answers: Sequence[AnswerT | Exception] = await self._handle([request for request, _ in batch])
        except asyncio.CancelledError:
            for _, future in batch:
                future.cancel()
            raise
        except Exception as error:  # noqa: BLE001 - every caller in the batch raises it again
            answers = [error] * len(batch)
        for (_, future), answer in zip(batch, answers, strict=True):
            if future.done():
                continue
            if isinstance(answer, Exception):
                future.set_exception(answer)
            else:
                future.set_result(answer)
