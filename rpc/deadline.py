"""How long a caller still waits: the budget that every hop passes on."""

import time
from dataclasses import dataclass
from typing import Any

import grpc

from rpc.errors import DeadlineExceeded


@dataclass(frozen=True, slots=True)
class Deadline:
    """A moment on this machine's monotonic clock."""

    at_s: float

    @classmethod
    def of(cls, context: "grpc.ServicerContext | grpc.aio.ServicerContext[Any, Any]", *, max_s: float) -> "Deadline":
        """The caller's deadline, at most `max_s` seconds away."""
        left_s = context.time_remaining()
        return cls.after(max_s if left_s is None else min(left_s, max_s))

    @classmethod
    def after(cls, seconds: float) -> "Deadline":
        """The moment `seconds` from now."""
        return cls(time.monotonic() + seconds)

    @property
    def has_passed(self) -> bool:
        """Whether the caller waits no longer."""
        return time.monotonic() >= self.at_s

    def left_s(self) -> float:
        """Seconds left, more than 0; DeadlineExceeded when there are none."""
        left_s = self.at_s - time.monotonic()
        if left_s <= 0:
            raise DeadlineExceeded("the deadline passed before the work was done; allow more time")
        return left_s
