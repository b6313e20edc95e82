"""The way to a model: a bounded queue and one thread that runs whatever waits when the model becomes free."""

import logging
import threading
import time
from collections import deque
from typing import Generic, TypeVar

from encoders.errors import InvalidContent
from encoders.session import ModelInput, Session
from rpc import telemetry
from rpc.errors import SHUTTING_DOWN, Internal, Overloaded, Unavailable
from services.encoder import metrics
from services.encoder.call import Call

Answer = TypeVar("Answer")

RETRY_AFTER_S = 0.1

logger = logging.getLogger(__name__)


class Slot(Generic[Answer]):
    """A reserved place in the queue for one input: fill it, refuse it, or close it unused."""

    __slots__ = ("_batcher", "_is_open", "call", "filled_s", "item", "place")

    item: ModelInput

    def __init__(self, batcher: "Batcher[Answer]", call: Call[Answer], place: int) -> None:
        self._batcher = batcher
        self._is_open = True
        self.call = call
        self.place = place
        self.filled_s = 0.0

    def fill(self, item: ModelInput) -> None:
        """Hand the preprocessed input to the model."""
        self.item = item
        self.filled_s = time.perf_counter()
        self._is_open = False
        self._batcher.enqueue(self)

    def refuse(self, error: InvalidContent) -> None:
        """Settle this input with its error; its place is free again."""
        self.close()
        self.call.settle(self.place, error)

    def close(self) -> None:
        """Give the place back where nothing was done with it."""
        if self._is_open:
            self._is_open = False
            self._batcher.release()


class Batcher(Generic[Answer]):
    """Feeds one session from many threads. There is no timer: an idle model starts at once, a busy one finds a batch."""

    def __init__(self, session: Session[Answer], *, queue_limit: int) -> None:
        self._session = session
        self._queue_limit = queue_limit
        self._depth = 0
        self._waiting: deque[Slot[Answer]] = deque()
        self._changed = threading.Condition()
        self._is_stopping = False
        name = session.bundle.name
        self._thread = threading.Thread(target=self._serve, name=f"model-{name}", daemon=True)
        self._batch_size, self._busy = metrics.BATCH_SIZE.labels(name), metrics.BUSY.labels(name)
        self._items, self._batches = metrics.ITEMS.labels(name), metrics.BATCHES.labels(name)
        self._failures = metrics.FAILURES.labels(name)
        metrics.QUEUE_DEPTH.labels(name).set_function(lambda: self._depth)

    def start(self) -> None:
        """Start the model's thread."""
        self._thread.start()

    def stop(self) -> None:
        """Finish the running batch and end the calls that still wait."""
        with self._changed:
            self._is_stopping = True
            self._changed.notify()
        self._thread.join()
        for slot in self._waiting:
            slot.call.fail(_shutting_down())

    @property
    def is_alive(self) -> bool:
        """Whether the model's thread can take inputs."""
        return self._thread.is_alive() and not self._is_stopping

    def reserve(self, call: Call[Answer], count: int) -> list[Slot[Answer]]:
        """Reserve places for all inputs of a call before any work is done on them; `Overloaded` where they lack."""
        with self._changed:
            if self._is_stopping:
                raise _shutting_down()
            is_full = self._depth + count > self._queue_limit
            self._depth += 0 if is_full else count
        if is_full:
            telemetry.REJECTED.labels("QUEUE_FULL").inc()
            raise Overloaded(
                f"the queue of {self._session.bundle.name} is full; send again a little later",
                reason="QUEUE_FULL",
                retry_after_s=RETRY_AFTER_S,
            )
        return [Slot(self, call, place) for place in range(count)]

    def release(self) -> None:
        """Take back a place that will not be filled."""
        with self._changed:
            self._depth -= 1

    def enqueue(self, slot: Slot[Answer]) -> None:
        """Let the model see a filled slot."""
        with self._changed:
            self._waiting.append(slot)
            self._changed.notify()
            is_too_late = self._is_stopping
        if is_too_late:
            slot.call.fail(_shutting_down())

    def _serve(self) -> None:
        while batch := self._next_batch():
            try:
                self._run(batch)
            except Exception:
                # Whatever a model does, its callers get an answer and the next batch gets its chance.
                logger.exception("a model failed", extra={"model": self._session.bundle.name, "batch": len(batch)})
                self._failures.inc()
                for slot in batch:
                    slot.call.fail(Internal("the model failed; the server's log says why"))

    def _next_batch(self) -> list[Slot[Answer]]:
        """Wait for inputs and take up to one batch of them; empty only when stopping."""
        batch: list[Slot[Answer]] = []
        with self._changed:
            while not batch and not self._is_stopping:
                self._changed.wait_for(lambda: self._waiting or self._is_stopping)
                while self._waiting and len(batch) < self._session.largest_batch and not self._is_stopping:
                    slot = self._waiting.popleft()
                    self._depth -= 1
                    if not slot.call.is_over:
                        batch.append(slot)
        return batch

    def _run(self, batch: list[Slot[Answer]]) -> None:
        taken_s = time.perf_counter()
        ran = self._session.run([slot.item for slot in batch])
        for slot, answer in zip(batch, ran.answers, strict=True):
            slot.call.note(queue_s=taken_s - slot.filled_s, infer_s=ran.infer_s, batch_size=len(batch))
            slot.call.settle(slot.place, answer)
        self._busy.inc(ran.infer_s)
        self._batch_size.observe(len(batch))
        self._batches.inc()
        self._items.inc(len(batch))


def _shutting_down() -> Unavailable:
    return Unavailable("the encoder is shutting down; send again", reason=SHUTTING_DOWN)
