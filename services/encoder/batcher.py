"""The way to a model: two bounded lanes and one thread that runs whatever waits when the model becomes free."""

import logging
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Generic, TypeVar

from domain.reasons import SHUTTING_DOWN
from encoders.serving.session import ModelInput, Session
from rpc.errors import Internal, Overloaded, Unavailable
from rpc.priority import Priority
from services.encoder import metrics
from services.encoder.call import Call
from services.encoder.lanes import Lanes, Waiting
from services.encoder.permits import Permits

Answer = TypeVar("Answer")

LINGER_S = 30.0
"""Interactive calls come in sessions: for so long after one, bulk batches stay short."""

logger = logging.getLogger(__name__)


class Batcher(Generic[Answer]):
    """Feeds one session from many threads. There is no timer: an idle model starts at once, a busy one finds a batch.

    `queue_limit` bounds the inputs of each lane that are admitted and not yet answered, so neither lane can take the
    other's places. A running batch cannot be interrupted, so bulk batches are short while interactive calls are around.
    """

    def __init__(self, session: Session[Answer], *, queue_limit: int, linger_s: float = LINGER_S) -> None:
        self._session = session
        self._linger_s = linger_s
        self._places = {priority: Permits(queue_limit) for priority in Priority}
        self._lanes: Lanes[Answer] = Lanes()
        self._changed = threading.Condition()
        self._short_until_s = 0.0
        self._is_stopping = False
        name = session.bundle.name
        self._thread = threading.Thread(target=self._serve, name=f"model-{name}", daemon=True)
        self._batch_size, self._busy = metrics.BATCH_SIZE.labels(name), metrics.BUSY.labels(name)
        self._items, self._batches = metrics.ITEMS.labels(name), metrics.BATCHES.labels(name)
        self._failures = metrics.FAILURES.labels(name)
        for priority, places in self._places.items():
            metrics.QUEUE_DEPTH.labels(name, priority.value).set_function(places.count)

    def start(self) -> None:
        """Start the model's thread."""
        self._thread.start()

    def stop(self) -> None:
        """Finish the running batch and end the calls that still wait."""
        with self._changed:
            self._is_stopping = True
            self._changed.notify()
        self._thread.join()
        for waiting in self._lanes:
            waiting.call.fail(_shutting_down())

    @property
    def is_alive(self) -> bool:
        """Whether the model's thread can take inputs."""
        return self._thread.is_alive() and not self._is_stopping

    @contextmanager
    def admitted(self, call: Call[Answer]) -> Iterator[None]:
        """Hold places for all inputs of a call inside the block, before any work is done on them; `Overloaded` without.

        A block that is left by an exception ends the call: its inputs never reach the model.
        """
        if self._is_stopping:
            raise _shutting_down()
        with self._places[call.priority].hold(call.count, self._full()):
            if call.priority is Priority.INTERACTIVE:
                self._short_until_s = time.monotonic() + self._linger_s
            try:
                yield
            except BaseException:
                call.cancel()
                self._drop(call)
                raise

    def put(self, call: Call[Answer], place: int, item: ModelInput) -> None:
        """Let the model see a preprocessed input of an admitted call."""
        waiting = Waiting(call, place, item, time.perf_counter())
        with self._changed:
            # Asked under the lock that `_drop` takes, so that nothing of a dropped call is queued behind its back.
            if self._is_stopping:
                call.fail(_shutting_down())
            elif not call.is_over:
                self._lanes.put(waiting)
                self._changed.notify()

    def _drop(self, call: Call[Answer]) -> None:
        with self._changed:
            self._lanes.drop(call)

    def _full(self) -> Overloaded:
        return Overloaded(f"the queue of {self._session.bundle.name} is full; send again a little later")

    def _serve(self) -> None:
        while batch := self._next_batch():
            try:
                self._run(batch)
            except Exception:
                # Whatever a model does, its callers get an answer and the next batch gets its chance.
                logger.exception("a model failed", extra={"model": self._session.bundle.name, "batch": len(batch)})
                self._failures.inc()
                for waiting in batch:
                    waiting.call.fail(Internal("the model failed; the server's log says why"))

    def _next_batch(self) -> list[Waiting[Answer]]:
        """Wait for inputs and take one batch of them; empty only when stopping."""
        batch: list[Waiting[Answer]] = []
        with self._changed:
            while not batch and not self._is_stopping:
                self._changed.wait_for(lambda: self._lanes or self._is_stopping)
                if not self._is_stopping:
                    batch = self._lanes.take(self._largest())
        return batch

    def _largest(self) -> dict[Priority, int]:
        """The largest batch of each lane just now."""
        largest, is_shared = self._session.largest_batch, time.monotonic() < self._short_until_s
        return {Priority.INTERACTIVE: largest, Priority.BULK: self._session.short_batch if is_shared else largest}

    def _run(self, batch: list[Waiting[Answer]]) -> None:
        taken_s = time.perf_counter()
        ran = self._session.run([waiting.item for waiting in batch])
        for waiting, answer in zip(batch, ran.answers, strict=True):
            waiting.call.note(queue_s=taken_s - waiting.since_s, infer_s=ran.infer_s, batch_size=len(batch))
            waiting.call.settle(waiting.place, answer)
        self._busy.inc(ran.infer_s)
        self._batch_size.observe(len(batch))
        self._batches.inc()
        self._items.inc(len(batch))


def _shutting_down() -> Unavailable:
    return Unavailable("the encoder is shutting down; send again", reason=SHUTTING_DOWN)
