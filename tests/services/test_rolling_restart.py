"""Encoder and search processes behind names are replaced and killed under load, and no caller sees it."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from testbed.servers import network_namespace
from tests.support.processes import REPOSITORY


@pytest.mark.parametrize(
    "requests",
    [
        1_500,
        pytest.param(20_000, marks=[pytest.mark.more, pytest.mark.timeout(1800)]),
    ],
)
def test_no_call_fails_while_processes_are_replaced_and_killed(requests: int, tmp_path: Path) -> None:
    """A new process gets its share within the age of connections; each that is stopped ends with 0."""
    with network_namespace() as (namespace, _):
        resolver = Path("/etc/netns") / namespace / "resolv.conf"
        resolver.parent.mkdir(parents=True)
        resolver.write_text("nameserver 127.0.0.1\n")
        try:
            command = ["ip", "netns", "exec", namespace, sys.executable, "-m", "tests.support.rolling", str(requests)]
            done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)
        finally:
            resolver.unlink()
            resolver.parent.rmdir()
    assert done.returncode == 0, done.stderr[-4000:]
    report = json.loads(done.stdout)

    assert report["failures"] == {}
    assert report["answered"] >= requests
    assert report["rolled"] >= 1
    assert report["crashed"] >= 1
    assert set(report["statuses"]) == {"0"}
    assert report["share"] > 0.15  # a third of the processes, on a machine that is busy
