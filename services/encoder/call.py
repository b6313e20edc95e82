"""One caller's inputs on their way through decoding and the model, and the thread that waits for them."""

import contextlib
import threading
import time
from copy import copy
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from opentelemetry.trace import SpanContext

from domain.reasons import UNSUPPORTED_PICTURE
from encoders.errors import InvalidContent, ModelError, UnsupportedImage
from rpc.deadline import Deadline
from rpc.errors import Cancelled, DeadlineExceeded, Internal, InvalidArgument, ServiceError
from rpc.priority import Priority
from rpc.tracing import current

Answer = TypeVar("Answer")
Answer_contra = TypeVar("Answer_contra", contravariant=True)


@dataclass(slots=True)
class StageTimings:
    """The slowest of each stage among a call's inputs, in seconds, and the largest batch that one of them was in."""

    decode_s: float = 0.0
    queue_s: float = 0.0
    infer_s: float = 0.0
    total_s: float = 0.0
    batch_size: int = 0


class InputOwner(Protocol[Answer_contra]):
    """What an input in a lane belongs to: it gets the outcome, and says whether anyone waits for it."""

    @property
    def is_over(self) -> bool:
        """Whether no caller waits for an outcome any more."""

    @property
    def span(self) -> SpanContext | None:
        """The span to link the batch with, where the call is traced."""

    def settle(
        self,
        position: int,
        outcome: Answer_contra | InvalidContent | ModelError,
        *,
        queue_s: float = 0.0,
        infer_s: float = 0.0,
        batch_size: int = 0,
    ) -> None:
        """Give the outcome at `position`, and how its batch ran."""

    def fail(self, error: ServiceError) -> None:
        """End all that belongs to the owner; the first error is the one that counts."""


class ModelCall(Generic[Answer]):
    """Collects `count` outcomes by position: the model's answer, or the error of one input or region alone.

    A `ServiceError` given to `fail` ends the whole call at once. Threads that work for a call ask `is_over` first.
    """

    def __init__(self, count: int, deadline: Deadline, priority: Priority = Priority.INTERACTIVE) -> None:
        self.count = count
        self.deadline = deadline
        self.priority = priority
        self.span = current()
        self.timings = StageTimings()
        self.warnings: dict[int, tuple[str, ...]] = {}
        self.image_px: dict[int, tuple[int, int]] = {}
        self._outcomes: dict[int, Answer | ServiceError] = {}
        self._error: ServiceError | None = None
        self._lock = threading.Lock()
        # Held until the call is done. A lock wakes the one thread that waits for it at a fraction of an Event's cost.
        self._running = threading.Lock()
        self._running.acquire()

    @property
    def is_over(self) -> bool:
        """Whether no caller waits for an outcome any more."""
        return self._error is not None or self.deadline.has_passed

    def settle(
        self,
        position: int,
        outcome: Answer | InvalidContent | ModelError,
        *,
        queue_s: float = 0.0,
        infer_s: float = 0.0,
        batch_size: int = 0,
    ) -> None:
        """Give the outcome at `position`, 0 to `count` - 1, and how its batch ran; the slowest of each stage is kept."""
        translated = _service_error(outcome) if isinstance(outcome, InvalidContent | ModelError) else outcome
        with self._lock:
            self._outcomes[position] = translated
            timings = self.timings
            timings.queue_s = max(timings.queue_s, queue_s)
            timings.infer_s = max(timings.infer_s, infer_s)
            timings.batch_size = max(timings.batch_size, batch_size)
            is_done = len(self._outcomes) == self.count
        # Outside the lock: the caller's thread wakes up and would wait for it at once.
        if is_done:
            self._wake()

    def note_decoding(self, decode_s: float) -> None:
        """Keep the slowest decoding."""
        with self._lock:
            self.timings.decode_s = max(self.timings.decode_s, decode_s)

    def fail(self, error: ServiceError) -> None:
        """End the call; the first error is the one that counts."""
        # A call can fail in several threads at once: its decoders, its model, its caller's deadline.
        with self._lock:
            if self._error is None:
                self._error = error
        self._wake()

    def cancel(self) -> None:
        """End the call because its caller has left."""
        self.fail(Cancelled("the caller has left"))

    def outcomes(self) -> list[Answer | ServiceError]:
        """Wait for all outcomes, in order of their positions; raises what ended the call."""
        if not self._running.acquire(timeout=max(0.0, self.deadline.at_s - time.monotonic())):
            self.fail(DeadlineExceeded("the deadline passed before the model was done; allow more time"))
        if self._error is not None:
            # A copy, because a raised error holds the frames that it went through, and with them the caller's images.
            raise copy(self._error)
        return [self._outcomes[position] for position in range(self.count)]

    def _wake(self) -> None:
        # The last outcome and any number of errors end a call; a lock that nobody holds cannot be released again.
        with contextlib.suppress(RuntimeError):
            self._running.release()


def _service_error(error: InvalidContent | ModelError) -> ServiceError:
    if isinstance(error, ModelError):
        return Internal("the model gave no usable answer for this input")
    return InvalidArgument(str(error), reason=UNSUPPORTED_PICTURE if isinstance(error, UnsupportedImage) else "")
