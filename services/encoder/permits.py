"""Permits: a bound on what is under way, given back by leaving a scope, so that none can leak."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from rpc import telemetry
from rpc.errors import Overloaded


class Permits:
    """At most `limit` permits held at once by the calls of one lane; a call that lacks them is refused, not kept waiting."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._held = 0
        self._lock = threading.Lock()

    def count(self) -> int:
        """Permits held now."""
        return self._held

    @contextmanager
    def hold(self, count: int, refusal: Overloaded) -> Iterator[None]:
        """Hold `count` permits inside the block, or raise `refusal` at once.

        A call larger than the limit itself passes alone.
        """
        count = min(count, self._limit)
        with self._lock:
            is_full = self._held + count > self._limit
            self._held += 0 if is_full else count
        if is_full:
            telemetry.REJECTED.labels(refusal.reason).inc()
            raise refusal
        try:
            yield
        finally:
            with self._lock:
                self._held -= count
