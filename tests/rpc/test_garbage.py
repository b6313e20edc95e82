"""What a process makes at its start is left out of later collections."""

import gc
import subprocess
import sys

_PROGRAM = """
import gc, time
from rpc.garbage import freeze_started
made_at_start = [[number] for number in range(1_000_000)]
began = time.perf_counter(); gc.collect(); whole_s = time.perf_counter() - began
freeze_started()
began = time.perf_counter(); gc.collect(); later_s = time.perf_counter() - began
print(gc.get_freeze_count() >= 1_000_000, later_s < whole_s / 4)
"""


def test_a_later_collection_does_not_walk_what_was_made_at_the_start() -> None:
    """In a process of its own: what is frozen stays frozen."""
    assert subprocess.check_output([sys.executable, "-c", _PROGRAM], text=True).split() == ["True", "True"]
    assert gc.get_freeze_count() < 1_000_000
