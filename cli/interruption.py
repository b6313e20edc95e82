"""What ends a command that stays: Ctrl-C, SIGTERM and SIGHUP, also where the shell that started it ignores them."""

import asyncio
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager

_STOPPING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@contextmanager
def stopped_by_signals(*, again: Callable[[], None] = lambda: None) -> Iterator[None]:
    """Cancels the task that runs the block at the first signal; at each later one calls `again`."""
    loop, task = asyncio.get_running_loop(), asyncio.current_task()
    assert task is not None, "signals stop a task, and there is none"

    def stop() -> None:
        if task.cancelling():
            again()
        else:
            task.cancel()

    for number in _STOPPING:
        loop.add_signal_handler(number, stop)
    try:
        yield
    finally:
        for number in _STOPPING:
            loop.remove_signal_handler(number)
