"""A bounded number of threads that decode pictures, and a bounded number of pixels in their memory."""

import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

from encoders.image import MAX_PIXELS
from rpc.deadline import Deadline
from rpc.errors import DeadlineExceeded

PIXELS_IN_FLIGHT = 2 * MAX_PIXELS
"""Two pictures of the largest size, or a few hundred of the usual size."""


class Decoders:
    """Decodes at most `count` pictures at once over all calls and bundles."""

    def __init__(self, count: int) -> None:
        self._permits = threading.Semaphore(count)
        self._pool = ThreadPoolExecutor(count, thread_name_prefix="decode")
        self._pixels_left = PIXELS_IN_FLIGHT
        self._pixels_freed = threading.Condition()

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
        """Hold one of the places for decoding."""
        if not self._permits.acquire(timeout=deadline.left_s()):
            raise DeadlineExceeded("the deadline passed before the picture was decoded; allow more time")
        try:
            yield
        finally:
            self._permits.release()

    @contextmanager
    def pixels(self, count: int, deadline: Deadline) -> Iterator[None]:
        """Hold room for the pixels of one picture."""
        with self._pixels_freed:
            if not self._pixels_freed.wait_for(lambda: self._pixels_left >= count, deadline.left_s()):
                raise DeadlineExceeded("the deadline passed before the picture was decoded; allow more time")
            self._pixels_left -= count
        try:
            yield
        finally:
            with self._pixels_freed:
                self._pixels_left += count
                self._pixels_freed.notify_all()

    def close(self) -> None:
        """Wait for the running tasks."""
        self._pool.shutdown(cancel_futures=True)
