"""Permits: a bound on what is under way. A call holds its permits in a scope and gives them back by leaving it."""

import threading
from contextlib import ExitStack

from prometheus_client import Counter, Gauge

from rpc.errors import Overloaded

IN_FLIGHT = Gauge("fovea_in_flight", "Unary calls being worked on.")
STREAMS = Gauge("fovea_streams", "Streams that are open.")
REJECTED = Counter("fovea_rejected_total", "Calls and inputs refused to protect the others.", ["reason"])


def refusal(reason: str, message: str) -> Overloaded:
    """The error of a caller that finds a bound reached; counted under its reason."""
    REJECTED.labels(reason).inc()
    return Overloaded(message, reason=reason)


class Permits:
    """At most `limit` permits held at once, over all threads; a caller that finds too few left is refused at once."""

    def __init__(self, limit: int, *, reason: str, message: str, gauge: Gauge | None = None) -> None:
        self._limit = limit
        self._reason = reason
        self._message = message
        self._gauge = gauge
        self._held = 0
        self._lock = threading.Lock()

    def held(self) -> int:
        """Permits held now."""
        return self._held

    def acquire(self, count: int = 1) -> ExitStack:
        """A scope that holds `count` permits; its `close()` gives them back early. Raises `Overloaded` where too few are left.

        A caller that asks for more than the limit itself gets all permits, but only where none is held.
        """
        count = min(count, self._limit)  # also what is released, so that the two always match
        with self._lock:
            is_full = self._held + count > self._limit
            self._held += 0 if is_full else count
        if is_full:
            raise refusal(self._reason, self._message)
        # A scope, so that the permits are released however the caller's block ends, and only once.
        scope = ExitStack()
        scope.callback(self._release, count)
        if self._gauge is not None:
            self._gauge.inc(count)
        return scope

    def _release(self, count: int) -> None:
        with self._lock:
            self._held -= count
        if self._gauge is not None:
            self._gauge.dec(count)
