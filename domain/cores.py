"""How many cores this process may use: fewer than the machine has, in a container or where it is pinned."""

import math
import os
from collections.abc import Callable, Iterator
from pathlib import Path

_ROOT = Path("/sys/fs/cgroup")
_OWN = Path("/proc/self/cgroup")


def usable_cores() -> int:
    """The least of affinity and the CPU quotas of its control groups, rounded down, at least 1."""
    # A thread more than the quota allows makes all of them wait for the rest of each period.
    return max(1, math.floor(min([_affinity(), *quotas()])))


def quotas(root: Path = _ROOT, own: Path = _OWN) -> Iterator[float]:
    """The quotas, in cores, of this process's group and of those above it; none where there is no limit."""
    try:
        groups = [line.split(":", 2) for line in own.read_text().splitlines()]
    except (OSError, ValueError):
        return
    for _, controllers, path in groups:
        if not controllers:  # version 2
            yield from _each(root, path, _quota_v2)
        elif "cpu" in controllers.split(","):
            yield from _each(root / "cpu", path, _quota_v1)


def _each(base: Path, path: str, quota: Callable[[Path], float]) -> Iterator[float]:
    # A container sees its own group as the root, whatever the path says.
    folder = base / path.lstrip("/")
    for group in [folder, *folder.parents]:
        try:
            found = quota(group)
        except (OSError, ValueError):
            found = math.inf
        if found < math.inf:
            yield found
        if group == base:
            return


def _quota_v2(group: Path) -> float:
    quota, period = (group / "cpu.max").read_text().split()
    return math.inf if quota == "max" else int(quota) / int(period)


def _quota_v1(group: Path) -> float:
    quota, period = (int((group / f"cpu.cfs_{name}_us").read_text()) for name in ("quota", "period"))
    return math.inf if quota < 0 else quota / period


def _affinity() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
