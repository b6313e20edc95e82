"""The cores that a process may use, as the kernel's files say it."""

import os
from pathlib import Path

import pytest

from domain.cores import quotas, usable_cores


def group(folder: Path, **files: str) -> None:
    """A control group with these files; `cpu_max` is `cpu.max`."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (folder / name.replace("_", ".", 1)).write_text(text + "\n")


def own(tmp_path: Path, *lines: str) -> Path:
    """What /proc/self/cgroup says."""
    path = tmp_path / "own"
    path.write_text("".join(f"{line}\n" for line in lines))
    return path


@pytest.mark.parametrize(
    ("limits", "expected"),
    [
        ({"": "max 100000"}, []),
        ({"": "150000 100000"}, [1.5]),
        ({"": "max 100000", "kube": "400000 100000", "kube/pod": "max 100000"}, [4.0]),
        ({"kube": "400000 100000", "kube/pod": "50000 100000"}, [0.5, 4.0]),
        ({"kube/pod": "nonsense"}, []),
    ],
)
def test_quotas_of_a_group_and_those_above_it_count(
    tmp_path: Path, limits: dict[str, str], expected: list[float]
) -> None:
    """Version 2: from the process's own group up to the root."""
    for path, limit in limits.items():
        group(tmp_path / "cgroup" / path, cpu_max=limit)

    assert list(quotas(tmp_path / "cgroup", own(tmp_path, "0::/kube/pod"))) == expected


def test_quotas_of_version_1(tmp_path: Path) -> None:
    """A container of Docker's: its group is mounted as the root, and the path names one outside."""
    group(tmp_path / "cgroup" / "cpu", cpu_cfs_quota_us="250000", cpu_cfs_period_us="100000")

    found = quotas(tmp_path / "cgroup", own(tmp_path, "5:memory:/docker/abc", "3:cpu,cpuacct:/docker/abc"))

    assert list(found) == [2.5]


def test_where_the_kernel_says_nothing_there_is_no_quota(tmp_path: Path) -> None:
    """Another system than Linux."""
    assert list(quotas(tmp_path, tmp_path / "absent")) == []


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="this system pins no processes")
def test_a_pinned_process_has_its_cores() -> None:
    """As `taskset` and Kubernetes' static policy pin it."""
    before = os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(0, {min(before)})
        assert usable_cores() == 1
    finally:
        os.sched_setaffinity(0, before)
