"""How much memory this process may still take, of its machine and of its container."""

import os
import re
from pathlib import Path

_MEMINFO = Path("/proc/meminfo")
_CGROUP = Path("/sys/fs/cgroup")


def free_memory_bytes(meminfo: Path = _MEMINFO, cgroup: Path = _CGROUP) -> int:
    """What the machine has free or can make free, and no more than the container's limit (cgroup v2) leaves."""
    try:
        free = 1024 * sum(
            map(int, re.findall(r"^(?:MemAvailable|SwapFree): +(\d+)", meminfo.read_text(), re.MULTILINE))
        )
    except OSError:  # not Linux
        free = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    try:
        limit, current = (int((cgroup / name).read_text()) for name in ("memory.max", "memory.current"))
        cached = re.search(r"^inactive_file (\d+)", (cgroup / "memory.stat").read_text(), re.MULTILINE)
    except (OSError, ValueError):  # no container, or one without a limit: "max"
        return free
    return min(free, limit - current + (int(cached[1]) if cached else 0))
