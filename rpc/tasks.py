"""Background tasks: how they are ended for certain."""

import asyncio
from typing import Any

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
