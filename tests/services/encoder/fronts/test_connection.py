"""A front and a model process in one: what happens to slots when calls end early and when either side goes."""

import threading
from collections.abc import Iterator
from concurrent.futures import Future
from pathlib import Path

import numpy as np
import pytest

from encoders.serving.session import Embedding, EmbeddingSession
from rpc.deadline import Deadline
from rpc.errors import Cancelled, DeadlineExceeded, Internal, Overloaded, ServiceError, Unavailable
from rpc.priority import Priority
from services.encoder.batchers import Batchers
from services.encoder.call import ModelCall
from services.encoder.fronts.listener import FrontListener, listening_socket
from services.encoder.fronts.remote_models import RemoteModels
from tests.services.encoder.test_batcher import LARGEST_BATCH, POISON, GatedSession, shade
from tests.support.processes import eventually

SLOTS = 8


@pytest.fixture
def session(tmp_path: Path) -> GatedSession:
    return GatedSession(tmp_path)


@pytest.fixture
def address(session: GatedSession) -> Iterator[bytes]:
    """Where a model process listens that has one gated model."""
    with Batchers([session], queue_limit=SLOTS) as batchers:
        listening = listening_socket()
        FrontListener(listening, batchers.queues, slots_per_lane=SLOTS).start()
        yield bytes(listening.getsockname())
        session.gate.set()


@pytest.fixture
def front(address: bytes, session: GatedSession) -> Iterator[RemoteModels]:
    with RemoteModels(address, {"gated": session.bundle}, queue_limit=SLOTS) as models:
        yield models
        session.gate.set()


class Sent:
    """A call from a thread of its own; made once the model has its inputs."""

    def __init__(self, front: RemoteModels, *levels: int, within_s: float = 20) -> None:
        self.call: ModelCall[Embedding] = ModelCall(len(levels), Deadline.after(within_s), Priority.INTERACTIVE)
        self._answer: Future[list[Embedding | ServiceError]] = Future()
        self._submitted = threading.Event()
        threading.Thread(target=self._ask, args=(front, levels)).start()
        assert self._submitted.wait(20)

    def outcomes(self) -> list[Embedding | ServiceError]:
        """What the caller gets."""
        return self._answer.result(20)

    def _ask(self, front: RemoteModels, levels: tuple[int, ...]) -> None:
        queue = front.queues["gated"]
        try:
            with queue.admitted(self.call):
                queue.put(self.call, 0, *map(shade, levels))
                self._submitted.set()
                self._answer.set_result(self.call.outcomes())
        except ServiceError as error:
            self._answer.set_exception(error)
        finally:
            self._submitted.set()


def free_slots(front: RemoteModels) -> int:
    """How many slots of the interactive lane are free."""
    assert front.connection is not None
    return front.connection.free("gated", Priority.INTERACTIVE)


def test_answers_are_those_of_the_session(front: RemoteModels, session: GatedSession) -> None:
    """Each input of each call gets its own embedding."""
    session.gate.set()
    levels = list(range(0, 248, 31))

    outcomes = [*Sent(front, *levels[:3]).outcomes(), *Sent(front, *levels[3:]).outcomes()]

    for level, outcome in zip(levels, outcomes, strict=True):
        (expected,) = EmbeddingSession.run(session, [shade(level)]).results
        assert isinstance(expected, np.ndarray)
        assert isinstance(outcome, np.ndarray)
        assert np.allclose(outcome, expected, atol=1e-6)
    assert free_slots(front) == SLOTS


def test_calls_of_several_fronts_ride_together(address: bytes, front: RemoteModels, session: GatedSession) -> None:
    """Batches form over all fronts, and each front gets its own answers."""
    with RemoteModels(address, {"gated": session.bundle}, queue_limit=SLOTS) as other:
        busy = Sent(front, 1)
        assert session.entered.acquire(timeout=20)
        calls = [Sent(front, 10), Sent(other, 20), Sent(front, 30), Sent(other, 40)]
        # The fronts' threads in the model process take what was sent.
        eventually(lambda: sum(front_depth(each) for each in (front, other)) == 1 + len(calls))
        session.gate.set()
        for call in [busy, *calls]:
            assert len(call.outcomes()) == 1
    eventually(lambda: sum(session.sizes) == 1 + LARGEST_BATCH)


def front_depth(front: RemoteModels) -> int:
    """The inputs that a front has submitted."""
    return SLOTS - free_slots(front)


def test_the_slots_of_a_cancelled_call_are_free_while_the_model_is_busy(
    front: RemoteModels, session: GatedSession
) -> None:
    """Its inputs leave the lane at once and are never run; the next call uses its slots."""
    busy = Sent(front, 1)
    assert session.entered.acquire(timeout=20)
    left = Sent(front, *range(2, 2 + SLOTS - 1))
    assert free_slots(front) == 0
    left.call.cancel()
    with pytest.raises(Cancelled):
        left.outcomes()

    eventually(lambda: free_slots(front) == SLOTS - 1)
    session.gate.set()

    assert len(busy.outcomes()) == len(Sent(front, *range(2, 2 + SLOTS)).outcomes()) + 1 - SLOTS == 1
    assert session.batches[0] == [1]


def test_the_slots_of_an_expired_call_are_free(front: RemoteModels, session: GatedSession) -> None:
    """A deadline shorter than the queue is DEADLINE_EXCEEDED, and the model never runs for it."""
    busy = Sent(front, 1)
    assert session.entered.acquire(timeout=20)
    with pytest.raises(DeadlineExceeded):
        Sent(front, 2, 3, within_s=0.2).outcomes()
    eventually(lambda: free_slots(front) == SLOTS - 1)
    session.gate.set()
    busy.outcomes()

    eventually(lambda: free_slots(front) == SLOTS)
    assert session.batches == [[1]]


def test_the_slot_of_a_cancelled_call_in_a_running_batch_is_free_at_its_end(
    front: RemoteModels, session: GatedSession
) -> None:
    """Until then the model may read the slot, so nobody else writes there."""
    left = Sent(front, 1)
    assert session.entered.acquire(timeout=20)
    left.call.cancel()
    with pytest.raises(Cancelled):
        left.outcomes()
    assert free_slots(front) == SLOTS - 1

    session.gate.set()

    eventually(lambda: free_slots(front) == SLOTS)


def test_a_full_queue_is_refused_before_any_work(front: RemoteModels, session: GatedSession) -> None:
    """As with one process: RESOURCE_EXHAUSTED with a reason and a delay."""
    waiting = Sent(front, *[1] * SLOTS)
    with pytest.raises(Overloaded, match="the queue of gated is full") as refused:
        Sent(front, 2).outcomes()
    session.gate.set()

    assert refused.value.reason == "QUEUE_FULL"
    assert len(waiting.outcomes()) == SLOTS


def test_a_failed_batch_fails_its_calls_and_nothing_else(front: RemoteModels, session: GatedSession) -> None:
    """The caller learns no internals, and the slots come back."""
    session.gate.set()
    with pytest.raises(Internal, match="the model failed"):
        Sent(front, POISON).outcomes()

    assert len(Sent(front, 1).outcomes()) == 1
    assert free_slots(front) == SLOTS


def test_the_inputs_of_a_front_that_has_left_are_not_run(
    address: bytes, front: RemoteModels, session: GatedSession
) -> None:
    """What it had in the lanes is never run; the calls of others go on."""
    busy = Sent(front, 1)
    assert session.entered.acquire(timeout=20)
    other = RemoteModels(address, {"gated": session.bundle}, queue_limit=SLOTS)
    with other:
        lost = Sent(other, 50, 51, 52)
        stays = Sent(front, 2)
    with pytest.raises(Unavailable):
        lost.outcomes()
    eventually(lambda: sum(thread.name == "front" for thread in threading.enumerate()) == 1)
    session.gate.set()

    assert len(busy.outcomes()) == len(stays.outcomes()) == 1
    assert session.batches == [[1], [2]]


def test_more_inputs_than_slots_go_in_turns(front: RemoteModels, session: GatedSession) -> None:
    """A call that has all permits of a lane may have more inputs than those."""
    session.gate.set()

    assert len(Sent(front, *range(3 * SLOTS)).outcomes()) == 3 * SLOTS
    assert free_slots(front) == SLOTS
