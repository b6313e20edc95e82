"""Tasks: how they are ended for certain, and how the error of one becomes the error of all."""

import asyncio
from collections.abc import Coroutine, Iterator
from typing import Any, TypeVar

from rpc.errors import ServiceError

T = TypeVar("T")

_PATIENCE_S = 0.5


async def end(task: "asyncio.Task[Any]") -> None:
    """Cancels a task and waits until it has ended; how it ended is nobody's business any more.

    One cancellation may not be enough: grpc.aio and `asyncio.wait_for` lose one that comes while a call completes.
    """
    while not task.done():
        task.cancel()
        await asyncio.wait([task], timeout=_PATIENCE_S)
    if not task.cancelled():
        task.exception()


async def gather(*calls: Coroutine[Any, Any, T]) -> list[T]:
    """The answers of calls that run at once, in order; the first that fails cancels the rest, and its error is raised.

    `asyncio.gather` leaves the rest running, a TaskGroup raises a group that nobody translates into a status.
    """
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(call) for call in calls]
    except BaseExceptionGroup as failed:
        raise _first(failed) from failed
    return [task.result() for task in tasks]


def _first(failed: BaseExceptionGroup[BaseException]) -> BaseException:
    """The error that a caller is told of; one that was meant for callers comes before a fault."""
    errors = list(_leaves(failed))
    return next((error for error in errors if isinstance(error, ServiceError)), errors[0])


def _leaves(failed: BaseExceptionGroup[BaseException]) -> Iterator[BaseException]:
    for error in failed.exceptions:
        yield from _leaves(error) if isinstance(error, BaseExceptionGroup) else [error]
