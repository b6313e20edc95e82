"""Admission: how every call of the encoder process begins, over each of its services."""

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import grpc

from domain.reasons import IN_FLIGHT_LIMIT
from rpc.deadline import Deadline
from rpc.permits import Permits, Tally
from rpc.priority import Priority
from services.encoder.call import ModelCall

# The rest of the calls in flight is for interactive ones: bulk callers, which send many at once, cannot shut them out.
BULK_FRACTION = 0.75


class CallAdmission:
    """Opens calls with their deadline and priority; bulk calls get three quarters of `max_in_flight` at most."""

    def __init__(self, *, max_in_flight: int, max_time_s: float, tally: Tally | None = None) -> None:
        self._bulk_permits = Permits(
            max(1, int(max_in_flight * BULK_FRACTION)),
            reason=IN_FLIGHT_LIMIT,
            message="too many bulk calls at once; send again a little later",
            tally=tally,
        )
        self._max_time_s = max_time_s

    @contextmanager
    def call(
        self, context: grpc.ServicerContext, count: int, priority: Priority | None = None
    ) -> Iterator[ModelCall[Any]]:
        """A call of `count` outcomes that ends with the block, with its deadline, or when its caller leaves.

        Without a `priority` the one of its metadata counts. Raises `DeadlineExceeded`, `InvalidArgument` and `Overloaded`.
        """
        deadline = Deadline.of(context, max_s=self._max_time_s)
        deadline.left_s()
        priority = priority or Priority.of(context.invocation_metadata())
        with self._bulk_permits.acquire() if priority is Priority.BULK else nullcontext():
            call: ModelCall[Any] = ModelCall(count, deadline, priority)
            if not context.add_callback(call.cancel):
                call.cancel()
            yield call
