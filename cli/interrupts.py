"""Ctrl-C while modules are imported."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def ended_by_interrupts() -> Iterator[None]:
    """An interrupt ends the process inside the block without a traceback, which an import would print or swallow."""
    before = signal.getsignal(signal.SIGINT)
    # A parent may have made the command ignore interrupts; that stays so.
    if before is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
