"""Processes that a supervisor left behind when it died hard: found by a mark in their environment, and ended."""

import os
import signal
import time
from pathlib import Path

MARK = "FOVEA_SUPERVISED_DATA"

_PATIENCE_S = 3.0
_POLL_S = 0.05


def end_orphans(data: Path) -> int:
    """End what is left of a former system on this folder, whose lock the caller holds; how many there were.

    Where the system shows no `/proc` there is nothing to find them by.
    """
    orphans = _marked(data)
    _signal(orphans, signal.SIGTERM)
    give_up_s = time.monotonic() + _PATIENCE_S
    while (left := orphans & _marked(data)) and time.monotonic() < give_up_s:
        time.sleep(_POLL_S)
    _signal(left, signal.SIGKILL)
    return len(orphans)


def _marked(data: Path) -> set[int]:
    mark = f"{MARK}={data}".encode()
    return {int(entry.name) for entry in Path("/proc").glob("[0-9]*") if mark in _environment(entry)}


def _environment(process: Path) -> list[bytes]:
    try:
        return (process / "environ").read_bytes().split(b"\0")
    except OSError:  # ended meanwhile, or somebody else's
        return []


def _signal(pids: set[int], number: signal.Signals) -> None:
    for pid in pids:
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            continue
