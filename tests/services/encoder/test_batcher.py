"""What the queue before a model promises, tried with a real model that a gate holds up."""

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
from prometheus_client import REGISTRY

from encoders.errors import InvalidContent, ModelError
from encoders.providers import SessionOptions
from encoders.session import BatchAnswer, Embedding, EmbeddingSession, ModelInput
from rpc.deadline import Deadline
from rpc.errors import Cancelled, DeadlineExceeded, Internal, Overloaded, Unavailable
from services.encoder.batcher import Batcher
from services.encoder.call import Call
from tests.support.bundles import tiny_image_bundle

QUEUE_LIMIT = 8
LARGEST_BATCH = 4


class GatedSession(EmbeddingSession):
    """A real session that waits for the gate before each run, records its batches, and fails when told to."""

    def __init__(self, folder: Path) -> None:
        super().__init__(
            tiny_image_bundle(folder, name="gated"), SessionOptions(provider="cpu", max_batch=LARGEST_BATCH)
        )
        self.warm_up()
        self.gate = threading.Event()
        self.entered = threading.Semaphore(0)
        self.batches: list[int] = []
        self.failure: Exception | None = None

    def run(self, items: Sequence[ModelInput]) -> BatchAnswer[Embedding]:
        """Waits, then runs or fails."""
        self.batches.append(len(items))
        self.entered.release()
        assert self.gate.wait(20)
        if self.failure is not None:
            raise self.failure
        return super().run(items)


@pytest.fixture
def session(tmp_path: Path) -> GatedSession:
    return GatedSession(tmp_path)


@pytest.fixture
def batcher(session: GatedSession) -> Iterator[Batcher[Embedding]]:
    made = Batcher(session, queue_limit=QUEUE_LIMIT)
    made.start()
    yield made
    session.gate.set()
    made.stop()


def shade(level: int) -> ModelInput:
    """A picture that can be told from others by its vector."""
    return np.full((16, 16, 3), level, dtype=np.uint8) * np.asarray([1, 0, 0], dtype=np.uint8)


def enqueue(batcher: Batcher[Embedding], *levels: int, within_s: float = 20) -> Call[Embedding]:
    """Sends one call with one picture for each level."""
    call: Call[Embedding] = Call(len(levels), Deadline.after(within_s))
    for slot, level in zip(batcher.reserve(call, len(levels)), levels, strict=True):
        slot.fill(shade(level))
    return call


def hold_up(batcher: Batcher[Embedding], session: GatedSession) -> Call[Embedding]:
    """Keeps the model busy with one picture."""
    call = enqueue(batcher, 0)
    assert session.entered.acquire(timeout=20)
    return call


def depth() -> float | None:
    """The queue's depth as the metrics tell it."""
    return REGISTRY.get_sample_value("fovea_queue_depth", {"model": "gated"})


def test_what_waits_rides_together_and_keeps_its_order(batcher: Batcher[Embedding], session: GatedSession) -> None:
    """While the model is busy inputs of several calls gather; each call gets its own vectors in its own order."""
    busy = hold_up(batcher, session)
    first, second = enqueue(batcher, 10, 200), enqueue(batcher, 250, 30, 90)
    session.gate.set()

    vectors = [*busy.outcomes(), *first.outcomes(), *second.outcomes()]

    wanted = EmbeddingSession.run(session, [shade(level) for level in (0, 10, 200, 250, 30, 90)]).answers
    for vector, expected in zip(vectors, wanted, strict=True):
        assert isinstance(vector, np.ndarray)
        assert isinstance(expected, np.ndarray)
        assert np.allclose(vector, expected, atol=1e-6)
    assert session.batches == [1, LARGEST_BATCH, 1]
    assert first.timings.batch_size == LARGEST_BATCH
    assert depth() == 0


def test_a_full_queue_refuses_at_once(batcher: Batcher[Embedding], session: GatedSession) -> None:
    """Inputs beyond the limit are refused with a delay to wait, none of them half; places come back."""
    hold_up(batcher, session)
    waiting = enqueue(batcher, *range(6))
    started_s = time.monotonic()

    with pytest.raises(Overloaded, match="gated is full") as refused:
        enqueue(batcher, 1, 2, 3)

    assert time.monotonic() - started_s < 0.1
    assert refused.value.reason == "QUEUE_FULL"
    assert refused.value.retry_after_s
    last = enqueue(batcher, 1, 2)
    session.gate.set()
    assert len(waiting.outcomes()) == 6
    assert len(last.outcomes()) == 2
    assert depth() == 0


def test_cancelled_inputs_never_reach_the_model(batcher: Batcher[Embedding], session: GatedSession) -> None:
    """A caller that left costs nothing, and its thread is free at once."""
    busy = hold_up(batcher, session)
    left, stays = enqueue(batcher, 1, 2, 3), enqueue(batcher, 4)
    left.cancel()
    with pytest.raises(Cancelled):
        left.outcomes()
    session.gate.set()

    assert len(stays.outcomes()) == len(busy.outcomes()) == 1
    assert session.batches == [1, 1]


def test_expired_inputs_never_reach_the_model(batcher: Batcher[Embedding], session: GatedSession) -> None:
    """A deadline that passes in the queue is answered on time, and the model is not run for it."""
    hold_up(batcher, session)
    late = enqueue(batcher, 1, 2, within_s=0.05)
    with pytest.raises(DeadlineExceeded):
        late.outcomes()
    stays = enqueue(batcher, 3)
    session.gate.set()

    assert len(stays.outcomes()) == 1
    assert session.batches == [1, 1]
    assert depth() == 0


@pytest.mark.parametrize("failure", [ModelError("secret path"), ValueError("secret path")])
def test_a_failing_model_answers_everybody_and_goes_on(
    batcher: Batcher[Embedding], session: GatedSession, failure: Exception
) -> None:
    """All callers of a failed batch get INTERNAL without internals; the next batch works."""
    session.failure = failure
    busy = hold_up(batcher, session)
    waiting = enqueue(batcher, 1, 2)
    session.gate.set()

    for call in (busy, waiting):
        with pytest.raises(Internal) as failed:
            call.outcomes()
        assert "secret" not in str(failed.value)
    session.failure = None
    assert len(enqueue(batcher, 3).outcomes()) == 1


def test_refused_and_unused_places_come_back(batcher: Batcher[Embedding], session: GatedSession) -> None:
    """An input that fails before the model fails alone, and its place is free."""
    call: Call[Embedding] = Call(3, Deadline.after(20))
    good, bad, unused = batcher.reserve(call, 3)
    session.gate.set()
    bad.refuse(InvalidContent("no picture"))
    bad.close()
    good.fill(shade(9))
    unused.close()
    call.settle(unused.place, InvalidContent("not read"))

    first, second, _ = call.outcomes()

    assert isinstance(first, np.ndarray)
    assert str(second) == "no picture"
    assert depth() == 0


def test_stopping_answers_those_who_wait(batcher: Batcher[Embedding], session: GatedSession) -> None:
    """The running batch is finished, everybody else is told to go elsewhere."""
    busy = hold_up(batcher, session)
    waiting = enqueue(batcher, 1, 2)
    stopper = threading.Thread(target=batcher.stop)
    stopper.start()
    wait_until(lambda: not batcher.is_alive)
    session.gate.set()
    stopper.join(20)

    assert len(busy.outcomes()) == 1
    with pytest.raises(Unavailable):
        waiting.outcomes()
    with pytest.raises(Unavailable):
        enqueue(batcher, 3)


def test_the_models_work_is_counted(batcher: Batcher[Embedding], session: GatedSession) -> None:
    """Items, batches and busy time grow with each run."""

    def counted(name: str) -> float:
        return REGISTRY.get_sample_value(name, {"model": "gated"}) or 0.0

    names = ("fovea_inference_items_total", "fovea_inference_batches_total", "fovea_model_busy_seconds_total")
    before = [counted(name) for name in names]
    hold_up(batcher, session)
    waiting = enqueue(batcher, 1, 2, 3)
    session.gate.set()
    waiting.outcomes()
    wait_until(lambda: counted(names[0]) == before[0] + 4)

    assert counted(names[1]) == before[1] + 2
    assert counted(names[2]) > before[2]


def wait_until(condition: Callable[[], bool]) -> None:
    """Waits for something that another thread does."""
    ends_s = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < ends_s, "it never happened"
        time.sleep(0.001)
