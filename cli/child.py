"""One process of the running system: started in a group and with a log of its own, ended politely and then for sure."""

import asyncio
import contextlib
import errno
import json
import os
import re
import signal
import sys
from asyncio.subprocess import Process
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from cli.data_folder import DataFolder
from cli.environment import inherited_environment
from cli.orphans import MARK
from cli.probes import Probe

_LEASH = Path(__file__).with_name("leash.py")
_EXCEPTION = re.compile(r"^[\w.]*(Error|Exception): ")
_TAIL_BYTES = 16 << 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """What a child runs. `rank`: higher ones use lower ones, so they stop first; each rank has `patience_s` to stop.

    `is_ready`: it can be used; `is_alive`: it answers at all, however busy it is or whatever it waits for.
    """

    name: str
    address: str
    argv: tuple[str, ...]
    is_ready: Probe
    is_alive: Probe
    rank: int
    patience_s: float
    environment: Mapping[str, str] = field(default_factory=dict)
    folder: Path = Path("/")


class Child:
    """A program that runs, or ran."""

    def __init__(self, program: Program, data: DataFolder) -> None:
        self.program = program
        self.log = data.logs / f"{program.name}.log"
        self._environment = {MARK: str(data.path), "FOVEA_LEASHED": json.dumps(dict(program.environment))}
        self._process: Process | None = None

    @property
    def pid(self) -> int:
        """The process id; 0 before the first start."""
        return self._process.pid if self._process else 0

    @property
    def has_ended(self) -> bool:
        """Whether it was started and runs no more."""
        return self._process is not None and self._process.returncode is not None

    async def start(self) -> None:
        """Start the program, also again; its output goes to the end of the log. OSError when the machine forbids it."""
        argv = (sys.executable, "-I", "-S", str(_LEASH), str(os.getpid()), *self.program.argv)
        with self.log.open("ab") as log:
            try:
                self._process = await asyncio.create_subprocess_exec(
                    *argv,
                    stdin=asyncio.subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    cwd=self.program.folder,
                    env=inherited_environment() | self._environment,
                    start_new_session=True,  # Ctrl-C at the terminal reaches the supervisor only
                )
            except RuntimeError as error:  # asyncio waits for the child on a thread, and there is none to be had
                raise OSError(errno.EAGAIN, str(error)) from error

    async def ended(self) -> str:
        """Wait until it ends; how it did, for people."""
        assert self._process is not None
        status = await self._process.wait()
        return f"killed by signal {-status}" if status < 0 else f"exit status {status}"

    async def stop(self) -> None:
        """Ask it to finish, and kill it with all its children when its patience is over."""
        if self._process is None:
            return
        if self._process.returncode is None:
            self._process.terminate()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._process.wait(), self.program.patience_s)
        self.kill()
        await self._process.wait()

    def kill(self) -> None:
        """End it and its children at once."""
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)

    def last_words(self) -> str:
        """The last thing in the log that says why it ended."""
        try:
            with self.log.open("rb") as log:
                log.seek(max(0, os.fstat(log.fileno()).st_size - _TAIL_BYTES))
                lines = log.read().decode(errors="replace").splitlines()
        except OSError as error:
            return f"its log cannot be read: {error.strerror}"
        spoken = [words for words in map(_words, lines) if words]
        return spoken[-1] if spoken else "its log is empty"


def _words(line: str) -> str:
    """What one log line says: a JSON line's message, or a plain line without the exception's name."""
    try:
        record = json.loads(line)
        return str(record.get("exception", record["message"])).splitlines()[-1]
    except (ValueError, KeyError, TypeError, AttributeError, IndexError):
        return _EXCEPTION.sub("", line.strip())
