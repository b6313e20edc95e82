"""The slots of one model and lane that a front may write to now."""

import threading
import time
from collections.abc import Iterable

from rpc.deadline import Deadline


class FreeSlots:
    """A stack, so that few calls at once use few slots, and the memory of the others is never touched."""

    def __init__(self, slots: Iterable[int]) -> None:
        self._free = list(slots)
        self._changed = threading.Condition()
        self._is_closed = False

    @property
    def count(self) -> int:
        """How many are free now."""
        return len(self._free)

    def take(self, count: int, deadline: Deadline) -> list[int]:
        """At most `count` slots, at least one; waits for it, and returns none at the deadline or when they are closed."""
        with self._changed:
            # A call holds permits for its inputs, so it waits only for slots of calls that are over and still run.
            left_s = max(0.0, deadline.at_s - time.monotonic())
            self._changed.wait_for(lambda: self._free or self._is_closed, left_s)
            if self._is_closed:
                return []
            taken = self._free[-count:]
            del self._free[-count:]
            return taken

    def give_back(self, *slots: int) -> None:
        """Let other inputs have the slots."""
        with self._changed:
            self._free += slots
            self._changed.notify(len(slots))

    def close(self) -> None:
        """Wake those that wait: there will be no more slots."""
        with self._changed:
            self._is_closed = True
            self._changed.notify_all()
