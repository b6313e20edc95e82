"""What ends a process that serves."""

import signal
from collections.abc import Iterator

import pytest

from rpc.signals import wait_for_signal


@pytest.fixture(autouse=True)
def kept_handlers() -> Iterator[None]:
    """The handlers of the test's own process come back."""
    kept = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    yield
    for number, handler in kept.items():
        signal.signal(number, handler)


def test_a_process_that_lost_its_device_ends_without_a_signal() -> None:
    """So that a supervisor starts it again."""
    asked = iter([False, True])

    wait_for_signal(lambda: next(asked))

    assert next(asked, None) is None
