"""Bulk work waits for a busy server, within its deadline."""

import time

import pytest

from rpc.deadline import Deadline
from rpc.errors import Overloaded, Unavailable
from services.ingest.backoff import retried


class Busy:
    """A server that refuses a number of calls."""

    def __init__(self, refusals: int, retry_after_s: float | None = 0.01) -> None:
        self.refusals = refusals
        self.retry_after_s = retry_after_s

    async def call(self) -> str:
        """Refuses, or is done."""
        if self.refusals:
            self.refusals -= 1
            raise Overloaded("busy", retry_after_s=self.retry_after_s)
        return "done"


async def test_a_busy_server_is_asked_again() -> None:
    """The call is repeated after each refusal."""
    assert await retried(Busy(3).call, Deadline.after(10)) == "done"


async def test_the_deadline_ends_the_backoff() -> None:
    """An attempt that would come after the deadline is not waited for."""
    started_s = time.monotonic()
    with pytest.raises(Overloaded):
        await retried(Busy(3, retry_after_s=60).call, Deadline.after(10))
    assert time.monotonic() - started_s < 5


async def test_other_errors_pass_at_once() -> None:
    """Only Overloaded is retried."""

    async def away() -> str:
        raise Unavailable("away")

    with pytest.raises(Unavailable):
        await retried(away, Deadline.after(10))
