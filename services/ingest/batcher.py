"""Batcher: single requests in, batches out. What waits when a worker is free is the next batch; there is no timer."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, Self, TypeVar

from rpc.errors import ServiceError
from rpc.tasks import end

RequestT = TypeVar("RequestT")
AnswerT = TypeVar("AnswerT")


class Batcher(Generic[RequestT, AnswerT]):
    """Hands requests to `handle` in batches, at most `calls` at once; an async context manager that owns its workers.

    `handle` gives one answer for each request, in order, a ServiceError for a request that fails alone; what it raises
    fails the whole batch. The queue is as long as the number of callers that wait, which the caller bounds.
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
        await asyncio.gather(*(end(worker) for worker in self._workers))
        while self._waiting:
            self._waiting.popleft()[1].cancel()

    async def ask(self, request: RequestT) -> AnswerT:
        """The answer to one request; raises what went wrong with it or with its batch."""
        answer: asyncio.Future[AnswerT] = asyncio.get_running_loop().create_future()
        self._waiting.append((request, answer))
        self._arrived.set()
        return await answer

    async def _work(self) -> None:
        while True:
            batch = self._next_batch()
            if batch:
                await self._answer(batch)
            else:
                self._arrived.clear()
                await self._arrived.wait()

    def _next_batch(self) -> list[tuple[RequestT, "asyncio.Future[AnswerT]"]]:
        """The longest waiting requests that fit into one call; those whose caller has gone are dropped."""
        batch: list[tuple[RequestT, asyncio.Future[AnswerT]]] = []
        size = 0
        while self._waiting and len(batch) < self._max_requests:
            request, answer = self._waiting[0]
            if not answer.done():
                size += self._size_of(request)
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
        except Exception as error:  # noqa: BLE001 - it is raised again by every caller in the batch
            answers = [error] * len(batch)
        for (_, future), answer in zip(batch, answers, strict=True):
            if future.done():
                continue
            if isinstance(answer, Exception):
                future.set_exception(answer)
            else:
                future.set_result(answer)
