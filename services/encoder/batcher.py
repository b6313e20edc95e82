"""The way to a model: two bounded lanes, and one thread that runs the inputs that wait when the model becomes free."""

import logging
import queue
import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import partial
from typing import TypeVar

from opentelemetry.trace import Span
from prometheus_client import Counter, Histogram

from domain.reasons import NOT_READY, SHUTTING_DOWN
from encoders.bundle import Bundle
from encoders.serving.session import BatchResult, ModelInput, Session
from rpc.errors import Internal, Unavailable
from rpc.priority import Priority
from rpc.tracing import Attributes, batch_span
from services.encoder.call import InputOwner, ModelCall
from services.encoder.lanes import Lanes, QueuedInput, expired
from services.encoder.model_queue import ModelChoices, ModelQueue

Answer = TypeVar("Answer")

LINGER_S = 30.0
"""Interactive calls come in sessions: for so long after one, bulk batches stay short."""

BATCH_SIZE = Histogram(
    "fovea_batch_size", "Inputs in one run of a model.", ["model"], buckets=(1, 2, 4, 8, 16, 32, 64, 128)
)
BUSY = Counter("fovea_model_busy_seconds_total", "Time in which the model computed.", ["model"])
ITEMS = Counter("fovea_inference_items_total", "Inputs that a model has run.", ["model"])
BATCHES = Counter("fovea_inference_batches_total", "Runs of a model.", ["model"])
FAILURES = Counter("fovea_inference_failures_total", "Runs of a model that failed.", ["model"])

logger = logging.getLogger(__name__)


class Batcher(ModelQueue[Answer]):
    """Feeds one session from many threads. There is no timer: an idle model starts at once, a busy one finds a batch.

    A running batch cannot be interrupted, so bulk batches are short while interactive calls are around.
    """

    def __init__(self, session: Session[Answer], *, queue_limit: int, linger_s: float = LINGER_S) -> None:
        name = session.bundle.name
        super().__init__(name, queue_limit=queue_limit)
        self._session = session
        self._linger_s = linger_s
        self._lanes: Lanes[Answer] = Lanes()
        self._changed = threading.Condition()
        self._short_until_s = 0.0
        self._refusal: Unavailable | None = None
        self._has_begun = threading.Event()
        self._thread = threading.Thread(target=self._serve, name=f"model-{name}", daemon=True)
        self._answering: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._answerer = threading.Thread(target=self._answer_forever, name=f"answers-{name}", daemon=True)
        # Looked up once: `labels` takes a lock, and these are counted for every batch.
        self._batch_size, self._busy = BATCH_SIZE.labels(name), BUSY.labels(name)
        self._items, self._batches, self._failures = ITEMS.labels(name), BATCHES.labels(name), FAILURES.labels(name)

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
    def bundle(self) -> Bundle:
        """The bundle that runs."""
        return self._session.bundle

    @property
    def answer_bytes(self) -> int:
        """The room that the model's answer for one input takes."""
        return self._session.answer_bytes

    @property
    def choices(self) -> ModelChoices:
        """What was chosen for the session."""
        session, graph = self._session, self._session.graph
        return ModelChoices(graph.precision, graph.provider, graph.sha256, session.threads, session.largest_batch)

    @property
    def refusal(self) -> Unavailable | None:
        """Why nothing more is run; None while the model serves."""
        return self._refusal

    @property
    def is_alive(self) -> bool:
        """Whether the model's thread can run inputs."""
        return self._thread.is_alive() and self._refusal is None

    @property
    def has_failed(self) -> bool:
        """Whether the model can run nothing any more, until its process is started again."""
        return self._refusal is not None and self._refusal.reason == NOT_READY

    def put(self, call: ModelCall[Answer], position: int, *inputs: ModelInput) -> None:
        """Let the model see preprocessed inputs of an admitted call; `position` is that of the first."""
        self.enqueue(call.priority, call, position, *inputs)

    def drop(self, call: ModelCall[Answer]) -> None:
        """Take the inputs of a call that is over out of its lane."""
        self.dequeue(call.priority, call)

    def enqueue(self, lane: Priority, owner: InputOwner[Answer], position: int, *inputs: ModelInput) -> None:
        """Queue inputs in a lane for whoever gets their outcomes, from `position` on."""
        now_s = time.perf_counter()
        queued = [QueuedInput(owner, position + offset, each, now_s) for offset, each in enumerate(inputs)]
        with self._changed:
            if lane is Priority.INTERACTIVE:
                self._short_until_s = time.monotonic() + self._linger_s
            # Checked under the lock of `dequeue`: a decoder that is late cannot queue an input of a dropped call.
            if self._refusal is not None:
                owner.fail(self._refusal)
            elif owner.is_over:
                # Every owner is answered: one in another process waits for it to use its memory again.
                owner.fail(expired())
            else:
                self._lanes.put(lane, queued)
                self._changed.notify()

    def dequeue(self, lane: Priority, owner: InputOwner[Answer]) -> bool:
        """Take the inputs of an owner out of a lane; whether one was still there."""
        with self._changed:
            return self._lanes.drop(lane, owner)

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
                with self._traced(batch):
                    ran = self._session.run([queued.model_input for queued in batch])
            except Exception as error:  # noqa: BLE001 - the thread must outlive every failure
                self._survive(batch, error)
            else:
                self._answer(batch, ran, taken_s)

    def _traced(self, batch: list[QueuedInput[Answer]]) -> AbstractContextManager[Span]:
        described: Attributes = {"fovea.model": self._session.bundle.name, "fovea.batch_size": len(batch)}
        return batch_span("batch", (queued.call.span for queued in batch), described)

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
