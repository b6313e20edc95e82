"""Lanes: what waits for a model, interactive inputs apart from bulk ones, and whose turn it is."""

from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import chain
from typing import Generic, TypeVar

from encoders.serving.session import ModelInput
from rpc.priority import Priority
from services.encoder.call import Call

Answer = TypeVar("Answer")

INTERACTIVE_TURNS = 4
"""Interactive batches in a row while bulk inputs wait: so bulk gets at least one batch in five."""


@dataclass(frozen=True, slots=True)
class Waiting(Generic[Answer]):
    """One preprocessed input: `call` gets its outcome at `place`."""

    call: Call[Answer]
    place: int
    item: ModelInput
    since_s: float


class Lanes(Generic[Answer]):
    """Two queues, each in order of arrival; a batch comes from one of them. Not safe for threads: its owner holds a lock.

    A batch is never filled up from the other lane: on a CPU every further input makes the interactive ones wait longer.
    """

    def __init__(self) -> None:
        self._interactive: deque[Waiting[Answer]] = deque()
        self._bulk: deque[Waiting[Answer]] = deque()
        self._turns = 0

    def __bool__(self) -> bool:
        return bool(self._interactive or self._bulk)

    def __iter__(self) -> Iterator[Waiting[Answer]]:
        return chain(self._interactive, self._bulk)

    def put(self, waiting: Waiting[Answer]) -> None:
        """Queue an input in the lane of its call."""
        self._of(waiting.call.priority).append(waiting)

    def take(self, largest: Mapping[Priority, int]) -> list[Waiting[Answer]]:
        """Take the next batch, at most `largest` of its lane; inputs of calls that are over are dropped."""
        lane = self._next()
        queue, batch = self._of(lane), list[Waiting[Answer]]()
        while queue and len(batch) < largest[lane]:
            waiting = queue.popleft()
            if not waiting.call.is_over:
                batch.append(waiting)
        return batch

    def drop(self, call: Call[Answer]) -> None:
        """Forget the inputs of a call that nobody waits for."""
        queue = self._of(call.priority)
        kept = [waiting for waiting in queue if waiting.call is not call]
        queue.clear()
        queue.extend(kept)

    def _of(self, priority: Priority) -> deque[Waiting[Answer]]:
        return self._interactive if priority is Priority.INTERACTIVE else self._bulk

    def _next(self) -> Priority:
        """Interactive goes first, but gives way once after `INTERACTIVE_TURNS` batches that bulk waited for."""
        if self._interactive and (not self._bulk or self._turns < INTERACTIVE_TURNS):
            self._turns = self._turns + 1 if self._bulk else 0
            return Priority.INTERACTIVE
        self._turns = 0
        return Priority.BULK
