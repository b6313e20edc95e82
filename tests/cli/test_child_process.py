import os
import subprocess
import sys
from pathlib import Path

import pytest

from cli.child_process import ChildProcess, inherited_environment
from cli.data_folder import DataFolder
from tests.cli.scripts import script
from tests.support.processes import alive, eventually


async def test_what_ignores_sigterm_is_killed_with_its_children(data: DataFolder) -> None:
    """The time to stop is limited, also for grandchildren."""
    stubborn = (
        "import signal, subprocess, sys, time; signal.signal(15, signal.SIG_IGN); "
        "print(subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)']).pid, flush=True); time.sleep(60)"
    )
    child = ChildProcess(script("stubborn", stubborn, stop_timeout_s=0.2), data)
    await child.start()
    eventually(lambda: child.log.read_text() != "")

    await child.stop()

    assert not alive(child.pid)
    eventually(lambda: not alive(int(child.log.read_text())))


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux shares the cores among sessions")
async def test_niceness_counts_among_all_processes(data: DataFolder) -> None:
    """Linux heeds it within a session only, so no child may have a session of its own; its group is its own."""
    child = ChildProcess(script("nice", "import time; time.sleep(60)", niceness=5), data)
    await child.start()
    try:
        assert os.getsid(child.pid) == os.getsid(0)
        assert os.getpgid(child.pid) == child.pid
        eventually(
            lambda: os.getpriority(os.PRIO_PROCESS, child.pid) == min(19, os.getpriority(os.PRIO_PROCESS, 0) + 5)
        )
    finally:
        await child.stop()


def test_json_log_lines_are_understood(data: DataFolder) -> None:
    """The last message of a process that logs JSON is its text, not its JSON."""
    child = ChildProcess(script("json", ""), data)
    child.log.write_text('{"level": "info", "message": "starting"}\n{"level": "error", "message": "no such model"}\n')

    assert child.last_message() == "no such model"


def test_children_inherit_neither_proxies_nor_service_links(monkeypatch: pytest.MonkeyPatch) -> None:
    """Calls between the processes stay on this machine, and Kubernetes's variables are not taken for settings."""
    monkeypatch.setenv("no_proxy", "intern.example")
    monkeypatch.setenv("no_grpc_proxy", "other.example")
    monkeypatch.setenv("FOVEA_SEARCH_METRICS_PORT", "tcp://10.0.0.1:9090")
    monkeypatch.setenv("FOVEA_ENCODER_THREADS", "2")

    inherited = inherited_environment()

    assert inherited["no_proxy"] == "intern.example,localhost,127.0.0.1,::1"
    assert inherited["no_grpc_proxy"] == "other.example,localhost,127.0.0.1,::1"
    assert "FOVEA_SEARCH_METRICS_PORT" not in inherited
    assert inherited["FOVEA_ENCODER_THREADS"] == "2"
    assert os.environ["no_proxy"] == "intern.example"


def test_a_child_ends_with_its_parent() -> None:
    """Even when the parent is killed."""
    watch = Path(sys.modules["cli.child_process"].__file__ or "").with_name("parent_death.py")
    code = (
        "import os, subprocess, sys, time; os.environ['FOVEA_CHILD_ENVIRONMENT'] = '{}'; "
        f"child = subprocess.Popen([sys.executable, '-I', '-S', {str(watch)!r}, str(os.getpid()), '0', '/bin/sleep', '60']); "
        "print(child.pid, flush=True); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        assert alive(child)
        parent.kill()
        parent.wait()
    eventually(lambda: not alive(child))
