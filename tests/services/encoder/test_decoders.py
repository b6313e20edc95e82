"""Decoders: bounded threads, which give way where they are asked to."""

import os
import sys
import threading
from queue import Queue

import pytest

from services.encoder.decoders import Decoders


def niceness_of_tasks(decoders: Decoders, count: int) -> set[int]:
    """The niceness of the threads that run so many tasks of one call."""
    found: Queue[int] = Queue()
    decoders.start([lambda: found.put(os.getpriority(os.PRIO_PROCESS, threading.get_native_id()))] * count)
    return {found.get(timeout=10) for _ in range(count)}


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux gives each thread a niceness")
@pytest.mark.parametrize("count", [1, 5])
def test_threads_give_way_where_asked_to(count: int) -> None:
    """Bulk decoding leaves the cores to interactive calls and to the model; this thread's own niceness stays."""
    own = os.getpriority(os.PRIO_PROCESS, threading.get_native_id())
    bulk, interactive = Decoders(2, 1 << 20, niceness=own + 5), Decoders(2, 1 << 20)
    try:
        assert niceness_of_tasks(bulk, count) == {own + 5}
        assert niceness_of_tasks(interactive, count) == {own}
        assert os.getpriority(os.PRIO_PROCESS, threading.get_native_id()) == own
    finally:
        bulk.close()
        interactive.close()
