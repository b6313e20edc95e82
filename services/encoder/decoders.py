"""A bounded number of threads that decode images, and a bounded number of bytes that decoded images take."""

import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager

from encoders.images.decode_memory import DecodeBudget
from rpc.deadline import Deadline
from rpc.errors import DeadlineExceeded

_TOO_LATE = "the deadline passed before the image was decoded; allow more time"


class Decoders:
    """Decodes at most `count` images at once over all calls and bundles, in at most `max_bytes` of memory."""

    def __init__(self, count: int, max_bytes: int) -> None:
        self._permits = threading.Semaphore(count)
        self._pool = ThreadPoolExecutor(count, thread_name_prefix="decode")
        self._budget = DecodeBudget(max_bytes)

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
            raise DeadlineExceeded(_TOO_LATE)
        try:
            yield
        finally:
            self._permits.release()

    @contextmanager
    def memory(self, size: int, deadline: Deadline, is_cancelled: Callable[[], bool]) -> Iterator[None]:
        """Hold room for `size` bytes of decoded image; `DecodingCancelled` where the caller leaves meanwhile."""
        with ExitStack() as held:
            try:
                held.enter_context(self._budget.reserve(size, deadline.left_s(), is_cancelled))
            except TimeoutError as error:
                raise DeadlineExceeded(_TOO_LATE) from error
            yield

    def close(self) -> None:
        """Wait for the running tasks."""
        self._pool.shutdown(cancel_futures=True)
