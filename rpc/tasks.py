"""Tasks: how they are ended reliably, and how the error of one becomes the error of all."""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from rpc.errors import ServiceError

T = TypeVar("T")

_CANCEL_AGAIN_S = 0.5


async def end(task: "asyncio.Task[Any]") -> None:
    """Cancels a task and waits until it has ended; its result or error is dropped.

    One cancellation may not be enough: grpc.aio and `asyncio.wait_for` lose one that comes while a call completes.
    """
    while not task.done():
        task.cancel()
        await asyncio.wait([task], timeout=_CANCEL_AGAIN_S)
    if not task.cancelled():
        task.exception()  # marked as retrieved, so that asyncio does not log it


async def gather(*calls: Coroutine[Any, Any, T]) -> list[T]:
    """The answers of calls that run at once, in order; the first that fails cancels the rest, and its error is raised.

    `asyncio.gather` leaves the rest running, a TaskGroup raises a group, which has no status.
    """
    if len(calls) == 1:
        return [await calls[0]]  # without a task of its own, which most calls of one search would be
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(call) for call in calls]
    except BaseExceptionGroup as failed:
        raise _first(failed) from failed
    return [task.result() for task in tasks]


def _first(failed: BaseExceptionGroup[BaseException]) -> BaseException:
    """The error for the caller; a ServiceError comes before a fault."""
    error: BaseException = failed.subgroup(ServiceError) or failed
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
