import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from world.drawing import FEWEST, drawn


def _squared(number: int) -> tuple[int, int]:
    """What a process makes of a number, and the process."""
    return number**2, os.getpid()


def test_few_things_are_drawn_here_and_many_by_other_processes() -> None:
    """In order both ways: what is drawn does not depend on who draws."""
    few, many = list(drawn(_squared, range(3), "few")), list(drawn(_squared, range(FEWEST), "many"))

    assert few == [(0, os.getpid()), (1, os.getpid()), (4, os.getpid())]
    assert [square for square, _ in many] == [number**2 for number in range(FEWEST)]
    assert os.getpid() not in {process for _, process in many}


@pytest.mark.skipif(not Path("/proc").exists(), reason="looks for processes in /proc")
def test_processes_that_draw_end_with_the_one_that_asked(tmp_path: Path) -> None:
    """Also where that was killed and could not say so."""
    script = tmp_path / "asks.py"
    script.write_text(
        "import os, threading\n"
        "from world.drawing import drawn\n"
        "def slowly(number):\n"
        "    threading.Event().wait(0.05)\n"
        "    return os.getpid()\n"
        "if __name__ == '__main__':\n"
        "    for process in drawn(slowly, range(100_000), 'slowly'):\n"
        "        os.write(1, f'{process}\\n'.encode())\n"
    )
    root = Path(__file__).parents[2]
    with subprocess.Popen(
        [sys.executable, str(script)], cwd=root, env={**os.environ, "PYTHONPATH": str(root)}, stdout=subprocess.PIPE
    ) as asking:
        assert asking.stdout is not None
        process = Path("/proc") / next(line for line in asking.stdout if line.strip().isdigit()).decode().strip()
        asking.kill()

    ends_s = time.monotonic() + 30
    while process.exists():
        assert time.monotonic() < ends_s
        time.sleep(0.05)
