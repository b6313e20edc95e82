"""SIGTERM and SIGINT: a process that serves drains, one that still starts ends."""

import asyncio
import signal
import sys
import threading
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack

from rpc.memory import settle_started
from rpc.tasks import end

_SIGNALS = (signal.SIGTERM, signal.SIGINT)
_FAILURE_PERIOD_S = 1.0


async def serve_until_signal(server: AbstractAsyncContextManager[object]) -> None:
    """Enter `server`, wait for a signal, and leave it; a signal while it is entered, which may take long, ends that."""
    stopped = asyncio.Event()
    for number in _SIGNALS:
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    async with AsyncExitStack() as stack:
        entering = asyncio.create_task(stack.enter_async_context(server), name="start")
        stopping = asyncio.create_task(stopped.wait(), name="signal")
        await asyncio.wait({entering, stopping}, return_when=asyncio.FIRST_COMPLETED)
        if not entering.done():
            await end(entering)
            return
        entering.result()
        settle_started()
        await stopping


def exit_at_signal() -> None:
    """End this process at a signal, as long as it starts: without a handler the first process of a container ignores it."""
    for number in _SIGNALS:
        signal.signal(number, lambda *_: sys.exit(0))


def wait_for_signal(has_failed: Callable[[], bool] = lambda: False) -> None:
    """Wait for a signal, in the main thread, or until `has_failed`, which is asked once a second."""
    stopped = threading.Event()
    for number in _SIGNALS:
        signal.signal(number, lambda *_: stopped.set())
    while not stopped.wait(_FAILURE_PERIOD_S) and not has_failed():
        pass
