"""Processes that a supervisor left behind when it died hard: found by where they run and what they are, and ended."""

import os
import signal
import time
from pathlib import Path

from cli.data_folder import DataFolder

MARK = "FOVEA_SUPERVISED_DATA"
"""The environment variable that names the data folder in every child."""

_PATIENCE_S = 3.0
_POLL_S = 0.05


def end_orphans(data: DataFolder) -> int:
    """End what is left of a former system on this folder, whose lock the caller holds; how many there were.

    Where the system shows no `/proc` there is nothing to find them by.
    """
    orphans = _children(data)
    _signal(orphans, signal.SIGTERM)
    give_up_s = time.monotonic() + _PATIENCE_S
    while (left := orphans & _children(data)) and time.monotonic() < give_up_s:
        time.sleep(_POLL_S)
    _signal(left, signal.SIGKILL)
    return len(orphans)


def _children(data: DataFolder) -> set[int]:
    return {int(entry.name) for entry in Path("/proc").glob("[0-9]*") if _is_child(entry, data)}


def _is_child(process: Path, data: DataFolder) -> bool:
    try:
        # Redis writes its title over its environment: a store is known by its name and the folder that it runs in.
        store = ((process / "comm").read_text().strip(), (process / "cwd").readlink())
        if store in (("valkey-server", data.redis), ("redis-server", data.redis), ("milvus", data.milvus)):
            return True
        return f"{MARK}={data.path}".encode() in (process / "environ").read_bytes().split(b"\0")
    except OSError:  # ended meanwhile, or somebody else's
        return False


def _signal(pids: set[int], number: signal.Signals) -> None:
    for pid in pids:
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            continue
