"""A bounded number of threads that decode images, and a bounded number of bytes that decoded images occupy."""

import os
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

from encoders.images.decode_memory import DecodeBudget
from rpc.deadline import Deadline


class Decoders:
    """Decodes at most `count` images at once over all calls and bundles, in at most `max_bytes` of memory.

    With a `niceness` (1..19) its threads give way to all others of the machine, the model's included.
    """

    def __init__(self, count: int, max_bytes: int, *, niceness: int = 0) -> None:
        # Not the size of the pool alone: single tasks run on the threads of their callers.
        self._permits = threading.Semaphore(count)
        self._is_nice = niceness > 0
        self._pool = ThreadPoolExecutor(count, "decode", initializer=_set_niceness, initargs=(niceness,))
        self.memory = DecodeBudget(max_bytes)

    def start(self, tasks: Sequence[Callable[[], None]]) -> None:
        """Run the tasks of one call, which report their own results and errors.

        A single task runs on the caller's own thread, which spares two switches of threads; several run in the pool, and
        all of them where the pool gives way, which a caller's thread cannot.
        """
        if len(tasks) == 1 and not self._is_nice:
            tasks[0]()
        else:
            for task in tasks:
                self._pool.submit(task)

    @contextmanager
    def permit(self, deadline: Deadline) -> Iterator[None]:
        """Hold one of the permits for decoding; `TimeoutError` at the deadline."""
        if not self._permits.acquire(timeout=deadline.left_s()):
            raise TimeoutError
        try:
            yield
        finally:
            self._permits.release()

    def close(self) -> None:
        """Wait for the running tasks."""
        self._pool.shutdown(cancel_futures=True)


def _set_niceness(niceness: int) -> None:
    """Linux gives every thread a niceness of its own; elsewhere all threads stay alike."""
    if niceness and sys.platform == "linux":
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), niceness)
