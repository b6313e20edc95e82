"""Permits: a bound on what is under way. A call holds its permit in a scope and gives it back by leaving it."""

import threading
from collections.abc import Callable
from typing import Protocol, Self

from prometheus_client import Counter, Gauge

from rpc.errors import Overloaded

IN_FLIGHT = Gauge("fovea_in_flight", "Unary calls being worked on.")
STREAMS = Gauge("fovea_streams", "Streams that are open.")
REJECTED = Counter("fovea_rejected_total", "Calls and inputs refused to protect the others.", ["reason"])


def refusal(reason: str, message: str, *, retry_after_s: float = 0.1) -> Overloaded:
    """The error of a caller that finds a bound reached; counted under its reason."""
    REJECTED.labels(reason).inc()
    return Overloaded(message, reason=reason, retry_after_s=retry_after_s)


class Permit:
    """What one caller holds of a bound; a context manager, so that it is given back however the block ends."""

    __slots__ = ("_count", "_release")

    def __init__(self, count: int, release: Callable[[int], None]) -> None:
        self._count = count
        self._release = release

    def close(self) -> None:
        """Gives the permit back before the block ends; a second time does nothing."""
        count, self._count = self._count, 0
        self._release(count)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class Tally(Protocol):
    """Where several processes that keep one bound say what they hold of it."""

    def others(self) -> int:
        """What the other processes hold."""

    def publish(self, held: int) -> None:
        """Say what this process holds."""


class Permits:
    """At most `limit` held at once, over all threads; a caller that finds too few left is refused at once.

    With a `tally` the limit is that of several processes together.
    """

    def __init__(
        self, limit: int, *, reason: str, message: str, gauge: Gauge | None = None, tally: Tally | None = None
    ) -> None:
        self._limit = limit
        self._reason = reason
        self._message = message
        self._gauge = gauge
        self._tally = tally
        self._held = 0
        self._lock = threading.Lock()

    def held(self) -> int:
        """How many are held now."""
        return self._held

    def acquire(self, count: int = 1) -> Permit:
        """A permit for `count`; raises `Overloaded` where fewer are left.

        A caller that asks for more than the limit itself gets all of it, but only where none is held.
        """
        count = min(count, self._limit)  # also what is released, so that the two always match
        with self._lock:
            others = self._tally.others() if self._tally is not None else 0
            is_full = self._held + others + count > self._limit
            if not is_full:
                self._hold(count)
        if is_full:
            raise refusal(self._reason, self._message)
        if self._gauge is not None:
            self._gauge.inc(count)
        return Permit(count, self._release)

    def _release(self, count: int) -> None:
        with self._lock:
            self._hold(-count)
        if self._gauge is not None:
            self._gauge.dec(count)

    def _hold(self, change: int) -> None:
        self._held += change
        if self._tally is not None:
            self._tally.publish(self._held)
