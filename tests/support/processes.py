"""Processes: one of Fovea as operators start it, whether one runs, and waiting for what one does."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).parents[2]
START_TIMEOUT_S = 180.0


@dataclass(frozen=True, slots=True)
class Server:
    """One process of Fovea, and where it listens."""

    address: str
    process: subprocess.Popen[bytes]


@contextmanager
def server_process(folder: Path, name: str, **settings: Any) -> Iterator[Server]:
    """Starts one process of Fovea and ends it with the block; its log is `<folder>/<name>.log`."""
    module = name if name == "gateway" else f"services.{name}"
    variables = {
        f"FOVEA_{name}_{key}".upper(): value if isinstance(value, str) else json.dumps(value)
        for key, value in settings.items()
    }
    log = folder / f"{name}.log"
    with log.open("wb") as stream:
        process = subprocess.Popen(
            [sys.executable, "-m", module], cwd=REPOSITORY, env=os.environ | variables, stderr=stream
        )
    try:
        yield Server(f"127.0.0.1:{_port(process, log)}", process)
    finally:
        _end(process)


def eventually(holds: Callable[[], bool], *, timeout_s: float = 30.0) -> None:
    """Wait until something holds; AssertionError when it does not in time."""
    give_up_s = time.monotonic() + timeout_s
    while not holds():
        assert time.monotonic() < give_up_s, f"not within {timeout_s} s"
        time.sleep(0.05)


def alive(pid: int) -> bool:
    """Whether a process runs; one that ended and waits for its parent does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(timeout=15)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _port(process: subprocess.Popen[bytes], log: Path) -> int:
    """The port that the process tells in its log once it serves; the gateway serves at once."""
    ready = "listening" if log.stem == "gateway" else "serving"
    give_up_s = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < give_up_s and process.poll() is None:
        for line in log.read_text(errors="replace").splitlines():
            if f'"{ready}"' in line:
                return int(json.loads(line)["port"])
        time.sleep(0.02)
    message = f"{log.stem} did not start: {log.read_text(errors='replace')[-2000:]}"
    raise RuntimeError(message)
