"""Admission: how every call of the encoder process begins, whichever face it came through."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any, Protocol

from domain.reasons import IN_FLIGHT_LIMIT
from rpc.deadline import Deadline
from rpc.errors import Overloaded
from rpc.priority import Priority
from services.encoder.call import Call
from services.encoder.permits import Permits

BULK_SHARE = 0.75


class Caller(Protocol):
    """The side of gRPC's call context that calls begin with."""

    def time_remaining(self) -> float | None:
        """Seconds that the caller still waits; None without a deadline."""

    def invocation_metadata(self) -> Any:
        """Pairs of key and value."""

    def add_callback(self, callback: Callable[[], None]) -> bool:
        """Have `callback` called at the call's end; False where it has ended."""


class Admission:
    """Opens calls with their deadline and priority; a quarter of the places of `max_in_flight` is left to interactive ones."""

    def __init__(self, *, max_in_flight: int, max_time_s: float) -> None:
        self._bulk = Permits(max(1, int(max_in_flight * BULK_SHARE)))
        self._max_time_s = max_time_s

    @contextmanager
    def call(self, context: Caller, count: int, priority: Priority | None = None) -> Iterator[Call[Any]]:
        """A call of `count` outcomes that ends with the block, with its deadline, or when its caller leaves.

        Without a `priority` its metadata says it. Raises `DeadlineExceeded`, `InvalidArgument` and `Overloaded`.
        """
        deadline = Deadline.of(context, max_s=self._max_time_s)
        deadline.left_s()
        priority = priority or Priority.of(context.invocation_metadata())
        with self._place(priority):
            call: Call[Any] = Call(count, deadline, priority)
            if not context.add_callback(call.cancel):
                call.cancel()
            yield call

    def _place(self, priority: Priority) -> AbstractContextManager[None]:
        if priority is Priority.INTERACTIVE:
            return nullcontext()
        refusal = Overloaded("too many bulk calls at once; send again a little later", reason=IN_FLIGHT_LIMIT)
        return self._bulk.hold(1, refusal)
