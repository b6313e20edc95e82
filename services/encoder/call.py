"""One caller's inputs on their way through decoding and the model, and the thread that waits for them."""

import threading
import time
from copy import copy
from dataclasses import dataclass
from typing import Generic, TypeVar

from encoders.errors import InvalidContent, ModelError
from rpc.deadline import Deadline
from rpc.errors import Cancelled, DeadlineExceeded, ServiceError
from rpc.priority import Priority

Answer = TypeVar("Answer")


@dataclass(slots=True)
class Timings:
    """The slowest of each stage among a call's inputs, in seconds, and the largest batch that one rode in."""

    decode_s: float = 0.0
    queue_s: float = 0.0
    infer_s: float = 0.0
    batch_size: int = 0


class Call(Generic[Answer]):
    """Collects `count` outcomes, each an answer or the error of one input or region alone.

    A `ServiceError` ends the whole call at once. Threads that work for a call ask `is_over` before they begin.
    """

    def __init__(self, count: int, deadline: Deadline, priority: Priority = Priority.INTERACTIVE) -> None:
        self.count = count
        self.deadline = deadline
        self.priority = priority
        self.timings = Timings()
        self.warnings: dict[int, tuple[str, ...]] = {}
        self._outcomes: dict[int, Answer | InvalidContent | ModelError] = {}
        self._error: ServiceError | None = None
        self._lock = threading.Lock()
        self._done = threading.Event()

    @property
    def is_over(self) -> bool:
        """Whether nobody waits for an outcome any more."""
        return self._error is not None or self.deadline.has_passed

    def settle(self, place: int, outcome: Answer | InvalidContent | ModelError) -> None:
        """Give the outcome at `place`, 0 to `count` - 1."""
        with self._lock:
            self._outcomes[place] = outcome
            is_done = len(self._outcomes) == self.count
        if is_done:
            self._done.set()

    def note(self, *, decode_s: float = 0.0, queue_s: float = 0.0, infer_s: float = 0.0, batch_size: int = 0) -> None:
        """Keep the slowest of each stage."""
        with self._lock:
            timings = self.timings
            timings.decode_s = max(timings.decode_s, decode_s)
            timings.queue_s = max(timings.queue_s, queue_s)
            timings.infer_s = max(timings.infer_s, infer_s)
            timings.batch_size = max(timings.batch_size, batch_size)

    def fail(self, error: ServiceError) -> None:
        """End the call; the first error is the one that counts."""
        with self._lock:
            if self._error is None:
                self._error = error
        self._done.set()

    def cancel(self) -> None:
        """End the call because its caller is gone."""
        self.fail(Cancelled("the caller is gone"))

    def outcomes(self) -> list[Answer | InvalidContent | ModelError]:
        """Wait for all outcomes, in order of their places; raises what ended the call."""
        if not self._done.wait(max(0.0, self.deadline.at_s - time.monotonic())):
            self.fail(DeadlineExceeded("the deadline passed before the model was done; allow more time"))
        if self._error is not None:
            # A copy, because a raised error holds the frames that it went through, and with them the caller's images.
            raise copy(self._error)
        return [self._outcomes[place] for place in range(self.count)]
