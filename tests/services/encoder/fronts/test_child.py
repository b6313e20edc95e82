"""A child as its parent sees it: what it reports, late or never, and how it is started again."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from services.encoder.fronts.child import Child
from tests.support.processes import alive, eventually

_SOURCE = """
import socket, sys, time
from pathlib import Path
from prometheus_client import Counter
from services.encoder.fronts.parent_watch import ParentWatch

watch = ParentWatch(socket.socket(fileno=int(sys.argv[1])))
Counter("fovea_big", "Larger than a socket's buffer. " + "x" * 500_000).inc(7)
watch.is_serving = True
watch.start()
time.sleep(600)
"""


@pytest.fixture
def child(tmp_path: Path) -> Iterator[Child]:
    """A process that serves nothing, and says that it does."""
    (tmp_path / "reporting_child.py").write_text(_SOURCE)
    path = os.pathsep.join([str(tmp_path), str(Path(__file__).parents[4])])
    made = Child("front", "reporting_child", [], {"PYTHONPATH": path})
    made.start()
    eventually(lambda: made.ask(1) is not None)
    yield made
    made.signal(signal.SIGKILL)
    made.wait(20)
    made.close()


def test_a_report_is_read_whole(child: Child) -> None:
    """However large it is."""
    report = child.ask(20)

    assert report is not None
    assert report.is_serving
    assert report.pid == child.pid
    assert "fovea_big_total 7.0" in report.metrics
    assert child.has_served


def test_an_answer_that_comes_too_late_is_not_taken_for_the_next_one(child: Child) -> None:
    """A child that was stopped for a while reports as before."""
    child.signal(signal.SIGSTOP)
    assert child.ask(0.05) is None
    assert child.ask(0.05) is None
    child.signal(signal.SIGCONT)

    for _ in range(3):
        report = child.ask(20)
        assert report is not None
        assert "fovea_big_total 7.0" in report.metrics


def test_one_that_has_ended_says_how_and_is_started_again(child: Child) -> None:
    """A moment after it ended; what it reports then is its own."""
    first = child.pid
    os.kill(first, signal.SIGKILL)
    eventually(lambda: child.has_ended() == "killed by signal 9")
    assert child.ask(1) is None

    eventually(child.is_due)
    child.start()

    eventually(lambda: child.ask(1) is not None)
    assert child.pid != first
    assert not child.cannot_start


def test_a_child_ends_with_its_parent(child: Child) -> None:
    """Its end of the socket closes, however the parent ends."""
    child.close()

    eventually(lambda: not alive(child.pid))
