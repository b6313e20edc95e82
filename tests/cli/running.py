"""The `fovea` command for tests, and a real `fovea up`: started, asked, stopped."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

from typer.testing import CliRunner, Result

from cli.main import app
from tests.support.processes import eventually

FOVEA = str(Path(sys.executable).with_name("fovea"))
START_TIMEOUT_S = 120.0
STOP_TIMEOUT_S = 10.0


def fovea(*arguments: object, data: Path | None = None) -> Result:
    """Run a command to its end, in this process to save its start; away from this machine's own data folder."""
    env: dict[str, str | None] = dict.fromkeys(name for name in os.environ if name.startswith("FOVEA_"))
    env |= {"FOVEA_DATA": str(data or "/nonexistent"), "COLUMNS": "200"}
    done = CliRunner().invoke(app, [str(argument) for argument in arguments], env=env)
    if done.exception and not isinstance(done.exception, SystemExit):
        raise done.exception
    return done


def fovea_process(*arguments: object, environment: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """Run a command to its end in a process of its own, as people do."""
    command = [FOVEA, *(str(argument) for argument in arguments)]
    env = {**os.environ, **(environment or {})}
    return subprocess.run(command, env=env, capture_output=True, text=True, timeout=120, check=False)


def answer(*arguments: object, data: Path | None = None) -> Any:
    """The JSON answer of a command that must succeed."""
    done = fovea(*arguments, "--json", data=data)
    assert done.exit_code == 0, done.stderr
    return json.loads(done.stdout)


class Up:
    """A `fovea up` on a data folder, on a free port: with the models of these folders, else with those that ship."""

    def __init__(self, data: Path, *models: Path, environment: Mapping[str, str] | None = None) -> None:
        self.data = data
        self._environment = {**os.environ, **(environment or {})}
        named = [argument for folder in models for argument in ("--models", str(folder))]
        if models:
            named.append("--no-shipped")
        self._command = [FOVEA, "up", "--data", str(data), "--port", "0", *named]
        self._process: subprocess.Popen[str] | None = None

    def __enter__(self) -> Self:
        self.data.mkdir(parents=True, exist_ok=True)
        with (self.data / "up.log").open("a") as log:
            self._process = subprocess.Popen(self._command, stdout=log, stderr=log, text=True, env=self._environment)
        try:
            eventually(self._is_up_or_over, timeout_s=START_TIMEOUT_S)
            assert self._process.poll() is None, self.said()
        except AssertionError:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process is not None
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait()

    @property
    def is_running(self) -> bool:
        """Whether the supervisor has not ended."""
        return self._process is not None and self._process.poll() is None

    @property
    def run(self) -> dict[str, Any]:
        """What `run.json` says."""
        found: dict[str, Any] = json.loads((self.data / "run.json").read_text())
        return found

    @property
    def pids(self) -> dict[str, int]:
        """The process ids by name."""
        return dict(self.run["pids"])

    def said(self) -> str:
        """What it printed so far."""
        return (self.data / "up.log").read_text()

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Send a signal and wait for the end, which must come within 10 s; the exit status."""
        assert self._process is not None
        self._process.send_signal(number)
        return self._process.wait(STOP_TIMEOUT_S)

    def _is_up_or_over(self) -> bool:
        assert self._process is not None
        if self._process.poll() is not None:
            return True
        # A system that was killed left its file behind.
        return (self.data / "run.json").exists() and self.pids["supervisor"] == self._process.pid
