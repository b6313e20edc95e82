"""A bounded number of threads that decode images, and a bounded number of bytes that decoded images occupy."""

import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

from encoders.images.decode_memory import DecodeBudget
from rpc.deadline import Deadline


class Decoders:
    """Decodes at most `count` images at once over all calls and bundles, in at most `max_bytes` of memory."""

    def __init__(self, count: int, max_bytes: int) -> None:
        # Not the size of the pool alone: single tasks run on the threads of their callers.
        self._permits = threading.Semaphore(count)
        self._pool = ThreadPoolExecutor(count, thread_name_prefix="decode")
        self.memory = DecodeBudget(max_bytes)

    def start(self, tasks: Sequence[Callable[[], None]]) -> None:
        """Run the tasks of one call, which report their own results and errors.

        A single task runs on the caller's own thread, which spares two switches of threads; several run in the pool.
        """
        if len(tasks) == 1:
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
