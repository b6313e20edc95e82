"""What the lanes before a model promise, tried with a real model that a gate holds up."""

import dataclasses
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from prometheus_client import REGISTRY

from encoders.errors import InvalidContent, ModelError
from encoders.serving.providers import SessionOptions
from encoders.serving.session import BatchResult, Embedding, EmbeddingSession, ModelInput
from rpc.deadline import Deadline
from rpc.errors import Cancelled, DeadlineExceeded, Internal, Overloaded, ServiceError, Unavailable
from rpc.priority import Priority
from services.encoder.batcher import Batcher
from services.encoder.call import ModelCall
from services.encoder.lanes import INTERACTIVE_TURNS
from tests.support.bundles import tiny_image_bundle

QUEUE_LIMIT = 32
LARGEST_BATCH = 4
SHORT_BATCH = 2
POISON = 255
BULK = Priority.BULK


class GatedSession(EmbeddingSession):
    """A real session that waits for the gate before each run, records its batches, and fails over poison."""

    def __init__(self, folder: Path) -> None:
        super().__init__(
            tiny_image_bundle(folder, name="gated"), SessionOptions(provider="cpu", max_batch=LARGEST_BATCH)
        )
        self.warm_up()
        self.short_batch = SHORT_BATCH
        self.gate = threading.Event()
        self.entered = threading.Semaphore(0)
        self.batches: list[list[int]] = []
        self.failure: Exception = ModelError("secret path")

    @property
    def sizes(self) -> list[int]:
        """How large the batches were."""
        return [len(batch) for batch in self.batches]

    def run(self, items: Sequence[ModelInput]) -> BatchResult[Embedding]:
        """Waits, then runs or fails."""
        self.batches.append([int(item[0, 0, 0]) for item in items])
        self.entered.release()
        assert self.gate.wait(20)
        if POISON in self.batches[-1]:
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


@dataclass(frozen=True)
class Sent:
    """A call under way, and what its thread gets in the end."""

    call: ModelCall[Embedding]
    _answer: Future[list[Embedding | ServiceError]]

    def outcomes(self) -> list[Embedding | ServiceError]:
        """What the caller gets."""
        return self._answer.result(20)


def shade(level: int) -> ModelInput:
    """An image that differs from the others by its embedding."""
    return np.full((16, 16, 3), level, dtype=np.uint8) * np.asarray([1, 0, 0], dtype=np.uint8)


def send(
    batcher: Batcher[Embedding], *levels: int, priority: Priority = Priority.INTERACTIVE, within_s: float = 20
) -> Sent:
    """Sends one call with one image for each level from a thread of its own, and returns when all of them wait."""
    call: ModelCall[Embedding] = ModelCall(len(levels), Deadline.after(within_s), priority)
    answer: Future[list[Embedding | ServiceError]] = Future()
    waiting = threading.Event()

    def ask() -> None:
        try:
            with batcher.admitted(call):
                for position, level in enumerate(levels):
                    batcher.put(call, position, shade(level))
                waiting.set()
                answer.set_result(call.outcomes())
        except ServiceError as error:
            answer.set_exception(error)
        finally:
            waiting.set()

    threading.Thread(target=ask).start()
    assert waiting.wait(20)
    return Sent(call, answer)


def hold_up(batcher: Batcher[Embedding], session: GatedSession, *, priority: Priority = BULK) -> Sent:
    """Keeps the model busy with one image."""
    sent = send(batcher, 0, priority=priority)
    assert session.entered.acquire(timeout=20)
    return sent


def depth(priority: Priority) -> float | None:
    """A lane's depth as the metrics show it."""
    return REGISTRY.get_sample_value("fovea_queue_depth", {"model": "gated", "priority": priority.value})


def is_empty() -> bool:
    """Whether no lane holds a permit."""
    return all(depth(priority) == 0 for priority in Priority)


def test_what_waits_rides_together_and_keeps_its_order(batcher: Batcher[Embedding], session: GatedSession) -> None:
    """While the model is busy inputs of several calls gather; each call gets its own embeddings in its own order."""
    busy = hold_up(batcher, session)
    first, second = send(batcher, 10, 200), send(batcher, 250, 30, 90)
    session.gate.set()

    embeddings = [*busy.outcomes(), *first.outcomes(), *second.outcomes()]

    expected = EmbeddingSession.run(session, [shade(level) for level in (0, 10, 200, 250, 30, 90)]).results
    for embedding, alone in zip(embeddings, expected, strict=True):
        assert isinstance(embedding, np.ndarray)
        assert isinstance(alone, np.ndarray)
        assert np.allclose(embedding, alone, atol=1e-6)
    assert session.sizes == [1, LARGEST_BATCH, 1]
    assert first.call.timings.batch_size == LARGEST_BATCH
    wait_until(is_empty)


@pytest.mark.parametrize("priority", Priority)
def test_a_full_lane_refuses_at_once(batcher: Batcher[Embedding], session: GatedSession, priority: Priority) -> None:
    """Inputs beyond the limit are refused with a delay to wait, none of them half; permits come back."""
    hold_up(batcher, session, priority=priority)
    waiting = send(batcher, *range(QUEUE_LIMIT - 3), priority=priority)
    started_s = time.monotonic()

    with pytest.raises(Overloaded, match="gated is full") as refused:
        send(batcher, 1, 2, 3, priority=priority).outcomes()

    assert time.monotonic() - started_s < 1
    assert refused.value.reason == "QUEUE_FULL"
    assert refused.value.retry_after_s
    last = send(batcher, 1, 2, priority=priority)
    session.gate.set()
    assert len(waiting.outcomes()) == QUEUE_LIMIT - 3
    assert len(last.outcomes()) == 2
    wait_until(is_empty)


@pytest.mark.parametrize("full", Priority)
def test_a_full_lane_leaves_the_other_all_its_permits(
    batcher: Batcher[Embedding], session: GatedSession, full: Priority
) -> None:
    """Neither lane can take the other's permits, so neither is shut out."""
    (other,) = set(Priority) - {full}
    filled = send(batcher, *[1] * QUEUE_LIMIT, priority=full)
    with pytest.raises(Overloaded):
        send(batcher, 1, priority=full).outcomes()

    sent = send(batcher, *[2] * QUEUE_LIMIT, priority=other)
    session.gate.set()

    assert len(sent.outcomes()) == len(filled.outcomes()) == QUEUE_LIMIT


def test_interactive_inputs_overtake_bulk(batcher: Batcher[Embedding], session: GatedSession) -> None:
    """What a person waits for is the next batch, however much bulk came before, and rides without it."""
    hold_up(batcher, session)
    bulk = send(batcher, *[1] * 20, priority=BULK)
    person = send(batcher, 9)
    session.gate.set()

    assert len(person.outcomes()) == 1
    bulk.outcomes()
    assert session.batches[:3] == [[0], [9], [1] * SHORT_BATCH]


def test_bulk_is_never_starved(batcher: Batcher[Embedding], session: GatedSession) -> None:
    """However many interactive inputs wait, every few batches one is bulk."""
    hold_up(batcher, session)
    bulk = send(batcher, 1, 1, 1, 1, priority=BULK)
    people = send(batcher, *[9] * QUEUE_LIMIT)
    session.gate.set()

    people.outcomes()
    bulk.outcomes()
    turns = [batch[0] for batch in session.batches[1:]]
    assert turns == ([9] * INTERACTIVE_TURNS + [1]) * 2


def test_bulk_batches_are_short_only_beside_interactive_calls(session: GatedSession) -> None:
    """Alone, bulk runs in the model's best batches; for a while after an interactive call, in short ones."""
    batcher = Batcher(session, queue_limit=QUEUE_LIMIT, linger_s=60)
    batcher.start()
    hold_up(batcher, session)
    first = send(batcher, *[1] * 8, priority=BULK)
    session.gate.set()
    first.outcomes()
    send(batcher, 9).outcomes()
    send(batcher, *[1] * 8, priority=BULK).outcomes()
    batcher.stop()

    before, after = session.sizes[1:3], session.sizes[4:]
    assert before == [LARGEST_BATCH] * 2
    assert max(after) == SHORT_BATCH


def test_long_after_an_interactive_call_bulk_batches_are_large_again(session: GatedSession) -> None:
    """When people have gone, bulk has the model to itself."""
    batcher = Batcher(session, queue_limit=QUEUE_LIMIT, linger_s=0)
    batcher.start()
    hold_up(batcher, session, priority=Priority.INTERACTIVE)
    bulk = send(batcher, *[1] * 8, priority=BULK)
    session.gate.set()
    bulk.outcomes()
    batcher.stop()

    assert session.sizes == [1, LARGEST_BATCH, LARGEST_BATCH]


class LateOwner:
    """Whose deadline passed on the way to the lanes; it waits for its answer all the same."""

    is_over = True
    span = None

    def __init__(self) -> None:
        self.errors: list[ServiceError] = []

    def settle(self, position: int, outcome: object, **ran: float) -> None:
        """Never called."""

    def fail(self, error: ServiceError) -> None:
        """Keeps what it gets."""
        self.errors.append(error)


def test_an_input_that_comes_too_late_is_answered(batcher: Batcher[Embedding], session: GatedSession) -> None:
    """It is not run, and whoever owns it learns so: a front has its slot back."""
    late = LateOwner()
    batcher.enqueue(Priority.INTERACTIVE, late, 0, shade(1))

    assert [type(error) for error in late.errors] == [DeadlineExceeded]
    assert session.batches == []


def test_cancelled_inputs_never_reach_the_model(batcher: Batcher[Embedding], session: GatedSession) -> None:
    """A caller that left costs nothing: its thread and its permits are free at once, while the model is still busy."""
    busy = hold_up(batcher, session)
    left, stays = send(batcher, 1, 2, 3), send(batcher, 4)
    left.call.cancel()
    with pytest.raises(Cancelled):
        left.outcomes()
    wait_until(lambda: depth(Priority.INTERACTIVE) == 1)
    session.gate.set()

    assert len(stays.outcomes()) == len(busy.outcomes()) == 1
    assert session.sizes == [1, 1]


def test_expired_inputs_never_reach_the_model(batcher: Batcher[Embedding], session: GatedSession) -> None:
    """A deadline that passes in the queue is answered on time, and the model is not run for it."""
    hold_up(batcher, session)
    late = send(batcher, 1, 2, within_s=0.05)
    with pytest.raises(DeadlineExceeded):
        late.outcomes()
    stays = send(batcher, 3)
    session.gate.set()

    assert len(stays.outcomes()) == 1
    assert session.sizes == [1, 1]
    wait_until(is_empty)


@pytest.mark.parametrize("failure", [ModelError("secret path"), ValueError("secret path")])
def test_a_failing_model_answers_everybody_and_goes_on(
    batcher: Batcher[Embedding], session: GatedSession, failure: Exception
) -> None:
    """All callers of a failed batch get INTERNAL without internals; the next batch works."""
    session.failure = failure
    hold_up(batcher, session)
    poisoned = [send(batcher, POISON), send(batcher, 1)]
    session.gate.set()

    for sent in poisoned:
        with pytest.raises(Internal) as failed:
            sent.outcomes()
        assert "secret" not in str(failed.value)
    assert len(send(batcher, 3).outcomes()) == 1


def test_a_model_with_too_few_answers_fails_its_batch_alone(
    batcher: Batcher[Embedding], session: GatedSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whichever thread answers, it outlives that, with other inputs waiting and without."""
    run = session.run
    monkeypatch.setattr(session, "run", lambda items: dataclasses.replace(run(items), split=lambda _: []))
    busy = hold_up(batcher, session)
    waiting = send(batcher, 1, 2, 3)
    session.gate.set()

    for sent in (busy, waiting, send(batcher, 4)):
        with pytest.raises(Internal):
            sent.outcomes()
    monkeypatch.undo()
    assert len(send(batcher, 5).outcomes()) == 1


@pytest.mark.parametrize("is_lost", [True, False])
def test_a_device_that_can_run_nothing_is_not_ready(
    batcher: Batcher[Embedding], session: GatedSession, monkeypatch: pytest.MonkeyPatch, *, is_lost: bool
) -> None:
    """As after CUDA's errors that stay: all who wait are refused at once, so that they go elsewhere; one bad batch alone ends nothing."""
    monkeypatch.setattr(session, "works", lambda: not is_lost)
    hold_up(batcher, session)
    poisoned = send(batcher, POISON)
    waiting = send(batcher, *[1] * 8, priority=BULK)
    session.gate.set()
    with pytest.raises(Internal):
        poisoned.outcomes()

    if not is_lost:
        assert len(waiting.outcomes()) == 8
        assert batcher.is_alive
        assert not batcher.has_failed
        return
    for sent in (waiting, send(batcher, 3)):
        with pytest.raises(Unavailable) as refused:
            sent.outcomes()
        assert refused.value.reason == "NOT_READY"
    assert not batcher.is_alive
    assert batcher.has_failed


def test_sizes_are_run_on_the_thread_that_serves(session: GatedSession, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before the batcher has started: CUDA keeps its captured graphs for each thread apart."""
    threads: list[str] = []
    monkeypatch.setattr(session, "rehearse", lambda: threads.append(threading.current_thread().name))
    batcher = Batcher(session, queue_limit=QUEUE_LIMIT)
    batcher.start()
    batcher.stop()

    assert threads == ["model-gated"]


class Bug(Exception):
    """Raised where nobody expects it."""


ENDINGS = ("answered", "refused input", "bug", "interrupted", "cancelled", "expired", "failing model")


@hypothesis_settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    calls=st.lists(
        st.tuples(st.integers(1, 12), st.sampled_from(Priority), st.sampled_from(ENDINGS)), min_size=1, max_size=12
    )
)
def test_no_permit_leaks_however_calls_end(
    batcher: Batcher[Embedding], session: GatedSession, calls: list[tuple[int, Priority, str]]
) -> None:
    """Whatever is raised, cancelled or refused: afterwards every permit is free and nothing of the calls waits."""
    session.gate.set()
    with ThreadPoolExecutor(4) as pool:
        for ended in [pool.submit(_end, batcher, *call) for call in calls]:
            ended.result(20)

    assert is_empty()
    wait_until(lambda: not batcher._lanes)
    for priority in Priority:
        assert len(send(batcher, *[1] * QUEUE_LIMIT, priority=priority).outcomes()) == QUEUE_LIMIT


def _end(batcher: Batcher[Embedding], count: int, priority: Priority, ending: str) -> None:
    """Sends a call and lets it end in one of the ways in which calls end."""
    call: ModelCall[Embedding] = ModelCall(count, Deadline.after(0.001 if ending == "expired" else 20), priority)
    surprise = {"bug": Bug, "interrupted": KeyboardInterrupt}.get(ending)
    try:
        with batcher.admitted(call):
            for position in range(count - 1):
                batcher.put(call, position, shade(1))
            if surprise is not None:
                raise surprise
            if ending == "cancelled":
                call.cancel()
            if ending == "refused input":
                call.settle(count - 1, InvalidContent("not an image"))
            elif ending != "expired":
                batcher.put(call, count - 1, shade(POISON if ending == "failing model" else 1))
            call.outcomes()
    except (ServiceError, Bug, KeyboardInterrupt):
        batcher.put(call, 0, shade(1))  # a decoder that is late


def test_stopping_answers_those_who_wait(batcher: Batcher[Embedding], session: GatedSession) -> None:
    """The running batch is finished, every other call gets an error that another replica would not give."""
    busy = hold_up(batcher, session)
    waiting = [send(batcher, 1, 2, priority=priority) for priority in Priority]
    stopper = threading.Thread(target=batcher.stop)
    stopper.start()
    wait_until(lambda: not batcher.is_alive)
    session.gate.set()
    stopper.join(20)

    assert len(busy.outcomes()) == 1
    for sent in (*waiting, send(batcher, 3)):
        with pytest.raises(Unavailable):
            sent.outcomes()


def test_the_models_work_is_counted(batcher: Batcher[Embedding], session: GatedSession) -> None:
    """Items, batches and busy time grow with each run."""

    def counted(name: str) -> float:
        return REGISTRY.get_sample_value(name, {"model": "gated"}) or 0.0

    names = ("fovea_inference_items_total", "fovea_inference_batches_total", "fovea_model_busy_seconds_total")
    before = [counted(name) for name in names]
    hold_up(batcher, session)
    waiting = send(batcher, 1, 2, 3)
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
