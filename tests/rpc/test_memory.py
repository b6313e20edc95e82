"""What a process makes at its start is left out of later collections, and what it freed goes back to the system."""

import gc
import subprocess
import sys

import pytest

_FROZEN = """
import gc, time
from rpc.memory import settle_started
made_at_start = [[number] for number in range(1_000_000)]
began = time.perf_counter(); gc.collect(); whole_s = time.perf_counter() - began
settle_started()
began = time.perf_counter(); gc.collect(); later_s = time.perf_counter() - began
print(gc.get_freeze_count() >= 1_000_000, later_s < whole_s / 4)
"""

_FREED = """
import os
from rpc.memory import settle_started

def resident_mib():
    with open("/proc/self/statm") as statm:
        return int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") >> 20

# Each too large for Python's own allocator; the last one keeps glibc from returning the others by itself.
*freed, kept = (bytes(1000) for _ in range(50_000))
del freed
before = resident_mib()
settle_started()
print(before - resident_mib())
"""


def test_a_later_collection_does_not_walk_what_was_made_at_the_start() -> None:
    """In a process of its own: what is frozen stays frozen."""
    assert subprocess.check_output([sys.executable, "-c", _FROZEN], text=True).split() == ["True", "True"]
    assert gc.get_freeze_count() < 1_000_000


@pytest.mark.skipif(sys.platform != "linux", reason="only glibc keeps what was freed, and only Linux says how much")
def test_what_the_start_freed_goes_back_to_the_system() -> None:
    """In a process of its own: glibc would keep it below what is still used."""
    assert int(subprocess.check_output([sys.executable, "-c", _FREED], text=True)) > 40
