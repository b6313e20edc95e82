"""Lanes: the inputs that wait for a model, interactive ones apart from bulk, and which lane the next batch is from."""

from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import chain
from typing import Generic, TypeVar

from encoders.serving.session import ModelInput
from rpc.errors import DeadlineExceeded
from rpc.priority import Priority
from services.encoder.call import InputOwner

Answer = TypeVar("Answer")

INTERACTIVE_TURNS = 4
"""Interactive batches in a row while bulk inputs wait: so bulk gets at least one batch in five."""


@dataclass(frozen=True, slots=True)
class QueuedInput(Generic[Answer]):
    """One preprocessed input that waits: `call` gets its outcome at `position`."""

    call: InputOwner[Answer]
    position: int
    model_input: ModelInput
    since_s: float


class Lanes(Generic[Answer]):
    """Two queues, each in order of arrival; a batch comes from one of them. Not safe for threads: its owner holds a lock.

    A batch is never filled up from the other lane: on a CPU every further input makes the interactive ones wait longer.
    """

    def __init__(self) -> None:
        self._queues: dict[Priority, deque[QueuedInput[Answer]]] = {priority: deque() for priority in Priority}
        self._turns = 0

    def __bool__(self) -> bool:
        return any(self._queues.values())

    def __iter__(self) -> Iterator[QueuedInput[Answer]]:
        return chain.from_iterable(self._queues.values())

    def put(self, lane: Priority, inputs: Iterable[QueuedInput[Answer]]) -> None:
        """Queue inputs of one call in its lane."""
        self._queues[lane].extend(inputs)

    def take(self, largest: Mapping[Priority, int]) -> list[QueuedInput[Answer]]:
        """Take the next batch, at most `largest` of its lane; inputs of calls that are over are dropped."""
        lane = self._next()
        queue, batch = self._queues[lane], list[QueuedInput[Answer]]()
        while queue and len(batch) < largest[lane]:
            queued = queue.popleft()
            # A deadline that passed in the queue is noticed here and nowhere else, so the model never runs for it.
            if queued.call.is_over:
                queued.call.fail(expired())
            else:
                batch.append(queued)
        return batch

    def drop(self, lane: Priority, call: InputOwner[Answer]) -> bool:
        """Remove the inputs of a call that is over; whether there were any."""
        queue = self._queues[lane]
        self._queues[lane] = deque(queued for queued in queue if queued.call is not call)
        return len(self._queues[lane]) < len(queue)

    def _next(self) -> Priority:
        """Interactive goes first, but gives way once after `INTERACTIVE_TURNS` batches while bulk inputs waited."""
        has_bulk = bool(self._queues[Priority.BULK])
        if self._queues[Priority.INTERACTIVE] and (not has_bulk or self._turns < INTERACTIVE_TURNS):
            # Turns count only while bulk waits: after a quiet hour bulk has no claim to go first.
            self._turns = self._turns + 1 if has_bulk else 0
            return Priority.INTERACTIVE
        self._turns = 0
        return Priority.BULK


def expired() -> DeadlineExceeded:
    """What a call gets whose input was not run in time; one that has ended before keeps its own error."""
    return DeadlineExceeded("the deadline passed before the model ran; allow more time")
