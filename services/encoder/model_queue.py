"""The way to a model as its callers see it: permits for the inputs of a call, then a queue that the model reads."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from copy import copy
from dataclasses import dataclass
from typing import Generic, TypeVar

from prometheus_client import Gauge

from domain.reasons import QUEUE_FULL
from encoders.serving.session import ModelInput
from rpc.errors import Unavailable
from rpc.permits import Permits, Tally
from rpc.priority import Priority
from services.encoder.call import ModelCall

Answer = TypeVar("Answer")

QUEUE_DEPTH = Gauge("fovea_queue_depth", "Inputs admitted and not yet answered.", ["model", "priority"])


@dataclass(frozen=True, slots=True)
class ModelChoices:
    """What was chosen for a model when it was loaded: Describe and the metrics show it."""

    precision: str
    provider: str
    sha256: str
    threads: int
    largest_batch: int


class ModelQueue(ABC, Generic[Answer]):
    """Takes the inputs of calls for one model.

    `queue_limit` bounds the inputs of each lane that are admitted and not yet answered, so neither lane can take the
    other's permits. With `tallies` the limit is that of several processes together.
    """

    def __init__(self, name: str, *, queue_limit: int, tallies: Mapping[Priority, Tally] | None = None) -> None:
        message, tally_of = f"the queue of {name} is full; send again a little later", tallies or {}
        self._permits = {
            priority: Permits(queue_limit, reason=QUEUE_FULL, message=message, tally=tally_of.get(priority))
            for priority in Priority
        }
        for priority, permits in self._permits.items():
            QUEUE_DEPTH.labels(name, priority.value).set_function(permits.held)

    @property
    @abstractmethod
    def choices(self) -> ModelChoices:
        """What was chosen for the model."""

    @property
    @abstractmethod
    def refusal(self) -> Unavailable | None:
        """Why nothing more is run; None while the model serves."""

    @abstractmethod
    def put(self, call: ModelCall[Answer], position: int, *inputs: ModelInput) -> None:
        """Let the model see preprocessed inputs of an admitted call; `position` is that of the first."""

    @abstractmethod
    def drop(self, call: ModelCall[Answer]) -> None:
        """Forget the inputs of a call that is over."""

    @contextmanager
    def admitted(self, call: ModelCall[Answer]) -> Iterator[None]:
        """Hold permits for all inputs of a call inside the block, before any work is done on them, or raise `Overloaded`.

        A block that is left by an exception ends the call: its inputs never reach the model.
        """
        if (refusal := self.refusal) is not None:
            raise copy(refusal)
        with self._permits[call.priority].acquire(call.count):
            try:
                yield
            except BaseException:
                # The permits go back now, so what the call has queued must leave the queue with them: otherwise it
                # would hold more inputs than its limit, and the model would run them for no caller.
                call.cancel()
                self.drop(call)
                raise
