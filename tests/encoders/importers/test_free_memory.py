from pathlib import Path

import pytest

from encoders.importers.free_memory import free_memory_bytes

MEMINFO = "MemTotal: 8000 kB\nMemFree:  100 kB\nMemAvailable:   4000 kB\nSwapFree:   1000 kB\n"


@pytest.mark.parametrize(
    ("limit", "expected"), [("max", 5000 << 10), (f"{2000 << 10}", 1600 << 10), (f"{9000 << 10}", 5000 << 10)]
)
def test_free_memory_is_the_least_of_machine_and_container(tmp_path: Path, limit: str, expected: int) -> None:
    """Pages of files can be dropped, so that they count as free."""
    (tmp_path / "meminfo").write_text(MEMINFO)
    (tmp_path / "memory.max").write_text(f"{limit}\n")
    (tmp_path / "memory.current").write_text(f"{500 << 10}\n")
    (tmp_path / "memory.stat").write_text(f"anon 1\ninactive_file {100 << 10}\n")

    assert free_memory_bytes(tmp_path / "meminfo", tmp_path) == expected


def test_this_machine_has_memory() -> None:
    """Whatever it runs in."""
    assert free_memory_bytes() > 1 << 20
