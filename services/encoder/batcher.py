"""The way to a model: two bounded lanes, and one thread that runs the inputs that wait when the model becomes free."""

import logging
import queue
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from copy import copy
from functools import partial
from typing import Generic, TypeVar

from prometheus_client import Counter, Gauge, Histogram

from domain.reasons import NOT_READY, QUEUE_FULL, SHUTTING_DOWN
from encoders.serving.session import BatchResult, ModelInput, Session
from rpc.errors import Internal, Unavailable
from rpc.permits import Permits
from rpc.priority import Priority
from services.encoder.call import ModelCall
from services.encoder.lanes import Lanes, QueuedInput

Answer = TypeVar("Answer")

LINGER_S = 30.0
"""Interactive calls come in sessions: for so long after one, bulk batches stay short."""

BATCH_SIZE = Histogram(
    "fovea_batch_size", "Inputs in one run of a model.", ["model"], buckets=(1, 2, 4, 8, 16, 32, 64, 128)
)
QUEUE_DEPTH = Gauge("fovea_queue_depth", "Inputs admitted and not yet answered.", ["model", "priority"])
BUSY = Counter("fovea_model_busy_seconds_total", "Time in which the model computed.", ["model"])
ITEMS = Counter("fovea_inference_items_total", "Inputs that a model has run.", ["model"])
BATCHES = Counter("fovea_inference_batches_total", "Runs of a model.", ["model"])
FAILURES = Counter("fovea_inference_failures_total", "Runs of a model that failed.", ["model"])

logger = logging.getLogger(__name__)


class Batcher(Generic[Answer]):
    """Feeds one session from many threads. There is no timer: an idle model starts at once, a busy one finds a batch.

    `queue_limit` bounds the inputs of each lane that are admitted and not yet answered, so neither lane can take the
    other's permits. A running batch cannot be interrupted, so bulk batches are short while interactive calls are around.
    """

    def __init__(self, session: Session[Answer], *, queue_limit: int, linger_s: float = LINGER_S) -> None:
        name = session.bundle.name
        message = f"the queue of {name} is full; send again a little later"
        self._session = session
        self._linger_s = linger_s
        self._permits = {priority: Permits(queue_limit, reason=QUEUE_FULL, message=message) for priority in Priority}
        self._lanes: Lanes[Answer] = Lanes()
        self._changed = threading.Condition()
        self._short_until_s = 0.0
        # Why nothing more is run; None while the model serves.
        self._refusal: Unavailable | None = None
        self._has_begun = threading.Event()
        self._thread = threading.Thread(target=self._serve, name=f"model-{name}", daemon=True)
        self._answering: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._answerer = threading.Thread(target=self._answer_forever, name=f"answers-{name}", daemon=True)
        # Looked up once: `labels` takes a lock, and these are counted for every batch.
        self._batch_size, self._busy = BATCH_SIZE.labels(name), BUSY.labels(name)
        self._items, self._batches, self._failures = ITEMS.labels(name), BATCHES.labels(name), FAILURES.labels(name)
        for priority, permits in self._permits.items():
            QUEUE_DEPTH.labels(name, priority.value).set_function(permits.held)

    def start(self) -> None:
        """Start the model's threads, and wait until the model has run every size on its own."""
        self._thread.start()
        self._answerer.start()
        self._has_begun.wait()

    def stop(self) -> None:
        """Finish the running batch and end the calls that still wait."""
        self._end(Unavailable("the encoder is shutting down; send again", reason=SHUTTING_DOWN))
        self._thread.join()
        self._answering.put(None)
        self._answerer.join()

    @property
    def is_alive(self) -> bool:
        """Whether the model's thread can run inputs."""
        return self._thread.is_alive() and self._refusal is None

    @property
    def has_failed(self) -> bool:
        """Whether the model can run nothing any more, until its process is started again."""
        return self._refusal is not None and self._refusal.reason == NOT_READY

    @contextmanager
    def admitted(self, call: ModelCall[Answer]) -> Iterator[None]:
        """Hold permits for all inputs of a call inside the block, before any work is done on them, or raise `Overloaded`.

        A block that is left by an exception ends the call: its inputs never reach the model.
        """
        if self._refusal is not None:
            raise copy(self._refusal)
        with self._permits[call.priority].acquire(call.count):
            if call.priority is Priority.INTERACTIVE:
                self._short_until_s = time.monotonic() + self._linger_s
            try:
                yield
            except BaseException:
                # The permits go back now, so what the call has queued must leave the lanes with them: otherwise the
                # queue would hold more inputs than its limit, and the model would run them for no caller.
                call.cancel()
                with self._changed:
                    self._lanes.drop(call)
                raise

    def put(self, call: ModelCall[Answer], position: int, *inputs: ModelInput) -> None:
        """Let the model see preprocessed inputs of an admitted call; `position` is that of the first."""
        now_s = time.perf_counter()
        queued = [QueuedInput(call, position + offset, each, now_s) for offset, each in enumerate(inputs)]
        with self._changed:
            # Checked under the lock of `drop`: a decoder that is late cannot queue an input of a dropped call.
            if self._refusal is not None:
                call.fail(self._refusal)
            elif not call.is_over:
                self._lanes.put(call.priority, queued)
                self._changed.notify()

    def _serve(self) -> None:
        try:
            self._session.rehearse()
        except Exception:
            logger.exception("a model failed before its first batch", extra={"model": self._session.bundle.name})
            self._end(_failed())
        self._has_begun.set()
        while batch := self._next_batch():
            taken_s = time.perf_counter()
            try:
                ran = self._session.run([queued.model_input for queued in batch])
            except Exception as error:  # noqa: BLE001 - the thread must outlive every failure
                self._survive(batch, error)
            else:
                self._answer(batch, ran, taken_s)

    def _survive(self, batch: list[QueuedInput[Answer]], error: Exception) -> None:
        """Answer those whose batch failed, and see whether the model can go on."""
        self._fail(batch, error)
        # After some errors of CUDA every run fails until the process ends, while its threads look alive.
        if not self._session.works():
            logger.critical("a model can run nothing any more", extra={"model": self._session.bundle.name})
            self._end(_failed())

    def _end(self, refusal: Unavailable) -> None:
        """Run nothing more, and answer the calls that wait."""
        with self._changed:
            self._refusal = self._refusal or refusal
            waiting = list(self._lanes)
            self._changed.notify()
        for queued in waiting:
            queued.call.fail(self._refusal)

    def _next_batch(self) -> list[QueuedInput[Answer]]:
        """Wait for inputs and take one batch of them; empty only when nothing more is run."""
        batch: list[QueuedInput[Answer]] = []
        with self._changed:
            # The lanes may hold nothing but inputs of calls that are over, so that a batch taken from them is empty.
            while not batch and self._refusal is None:
                self._changed.wait_for(lambda: self._lanes or self._refusal is not None)
                if self._refusal is None:
                    batch = self._lanes.take(self._largest_batches())
        return batch

    def _largest_batches(self) -> dict[Priority, int]:
        """The largest batch of each lane at this moment."""
        largest, is_shared = self._session.largest_batch, time.monotonic() < self._short_until_s
        return {Priority.INTERACTIVE: largest, Priority.BULK: self._session.short_batch if is_shared else largest}

    def _answer(self, batch: list[QueuedInput[Answer]], ran: BatchResult[Answer], taken_s: float) -> None:
        # Each caller that wakes up takes the interpreter from this thread, so with inputs waiting another one wakes them.
        if self._lanes:
            self._answering.put(partial(self._settle, batch, ran, taken_s))
        else:
            self._settle(batch, ran, taken_s)

    def _answer_forever(self) -> None:
        while (settle := self._answering.get()) is not None:
            settle()

    def _settle(self, batch: list[QueuedInput[Answer]], ran: BatchResult[Answer], taken_s: float) -> None:
        try:
            for queued, answer in zip(batch, ran.results, strict=True):
                queue_s = taken_s - queued.since_s
                queued.call.settle(queued.position, answer, queue_s=queue_s, infer_s=ran.infer_s, batch_size=len(batch))
        except Exception as error:  # noqa: BLE001 - the threads must outlive every failure
            self._fail(batch, error)
        self._busy.inc(ran.busy_s)
        self._batch_size.observe(len(batch))
        self._batches.inc()
        self._items.inc(len(batch))

    def _fail(self, batch: list[QueuedInput[Answer]], error: Exception) -> None:
        logger.error("a model failed", exc_info=error, extra={"model": self._session.bundle.name, "batch": len(batch)})
        self._failures.inc()
        for queued in batch:
            queued.call.fail(Internal("the model failed; the server's log says why"))


def _failed() -> Unavailable:
    return Unavailable("the model's device failed and this process starts again; send again", reason=NOT_READY)
