"""The processes of a running system: each in a group and with a log of its own, asked to stop and then killed."""

import asyncio
import contextlib
import errno
import json
import os
import re
import signal
import sys
import time
from asyncio.subprocess import Process
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from cli.data_folder import DataFolder
from cli.probes import Probe

SUPERVISED = "FOVEA_SUPERVISED_DATA"
"""The environment variable that names the data folder in every child."""

_PARENT_DEATH = Path(__file__).with_name("parent_death.py")
_EXCEPTION = re.compile(r"^[\w.]*(Error|Exception): ")
_TAIL_BYTES = 16 << 10
_LOOPBACK = "localhost,127.0.0.1,::1"
_SERVICE_LINKS = ("tcp://", "udp://", "sctp://")
_LEFT_BEHIND_TIMEOUT_S = 3.0
_POLL_S = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """What a child runs, and how to see whether it can be used (`is_ready`) and whether it answers at all (`is_alive`).

    Programs of a higher rank use those of lower ranks, so they stop first; each has `stop_timeout_s` to do so. One with
    a `niceness` (1..19) leaves the cores to the others while they need them.
    """

    name: str
    address: str
    argv: tuple[str, ...]
    is_ready: Probe
    is_alive: Probe
    rank: int
    stop_timeout_s: float = 2.0
    niceness: int = 0
    environment: Mapping[str, str] = field(default_factory=dict)
    folder: Path = Path("/")


class ChildProcess:
    """The process of a program; it can be started again."""

    def __init__(self, program: Program, data: DataFolder) -> None:
        self.program = program
        self.log = data.logs / f"{program.name}.log"
        self._environment = {
            SUPERVISED: str(data.path),
            "FOVEA_CHILD_ENVIRONMENT": json.dumps(dict(program.environment)),
        }
        self._process: Process | None = None

    @property
    def pid(self) -> int:
        """The process id; 0 before the first start."""
        return self._process.pid if self._process else 0

    @property
    def has_ended(self) -> bool:
        """Whether it was started and does not run any more."""
        return self._process is not None and self._process.returncode is not None

    async def start(self) -> None:
        """Start the program, also again; its output is appended to the log. OSError when the machine forbids it."""
        watch = (sys.executable, "-I", "-S", str(_PARENT_DEATH), str(os.getpid()), str(self.program.niceness))
        with self.log.open("ab") as log:
            try:
                self._process = await asyncio.create_subprocess_exec(
                    *watch,
                    *self.program.argv,
                    stdin=asyncio.subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    cwd=self.program.folder,
                    env=inherited_environment() | self._environment,
                    # Ctrl-C at the terminal reaches the supervisor only. A group, not a session: Linux shares the
                    # cores among sessions first, where the niceness of a process counts for nothing.
                    process_group=0,
                )
            except RuntimeError as error:  # asyncio waits for the child on a thread, and none can be started
                raise OSError(errno.EAGAIN, str(error)) from error

    async def wait(self) -> str:
        """Wait until it ends; how it did, for people."""
        assert self._process is not None
        status = await self._process.wait()
        return f"killed by signal {-status}" if status < 0 else f"exit status {status}"

    async def stop(self) -> None:
        """Ask it to finish; after `stop_timeout_s` kill it and all its children."""
        if self._process is None:
            return
        if self._process.returncode is None:
            self._process.terminate()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._process.wait(), self.program.stop_timeout_s)
        self.kill()
        await self._process.wait()

    def kill(self) -> None:
        """End it and its children at once."""
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)

    def last_message(self) -> str:
        """The last line of the log that says something, as the reason why it ended."""
        try:
            with self.log.open("rb") as log:
                log.seek(max(0, os.fstat(log.fileno()).st_size - _TAIL_BYTES))
                lines = log.read().decode(errors="replace").splitlines()
        except OSError as error:
            return f"its log cannot be read: {error.strerror}"
        return next(filter(None, map(_message, reversed(lines))), "its log is empty")


def inherited_environment() -> dict[str, str]:
    """The environment of this process, without a proxy between the processes and without Kubernetes's service links.

    A service called `fovea-search-metrics` in the same namespace gives every pod FOVEA_SEARCH_METRICS_PORT=tcp://…,
    which has a setting's name and is not its value.
    """
    inherited = {
        name: value
        for name, value in os.environ.items()
        if not (name.startswith("FOVEA_") and value.startswith(_SERVICE_LINKS))
    }
    # A list that is set already may name other hosts; gRPC reads its own variable instead of the common one.
    for name in {"no_proxy", "NO_PROXY", "no_grpc_proxy"} & inherited.keys() | {"no_proxy"}:
        inherited[name] = ",".join(filter(None, (inherited.get(name), _LOOPBACK)))
    return inherited


def end_left_behind(data: DataFolder) -> int:
    """End the processes of a former supervisor that died; how many there were. The caller holds the folder's lock.

    They are found in `/proc`; where the machine has none, nothing is found.
    """
    left_behind = _supervised(data)
    _signal(left_behind, signal.SIGTERM)
    deadline_s = time.monotonic() + _LEFT_BEHIND_TIMEOUT_S
    while (running := left_behind & _supervised(data)) and time.monotonic() < deadline_s:
        time.sleep(_POLL_S)
    _signal(running, signal.SIGKILL)
    return len(left_behind)


def _supervised(data: DataFolder) -> set[int]:
    return {int(entry.name) for entry in Path("/proc").glob("[0-9]*") if _is_supervised(entry, data)}


def _is_supervised(process: Path, data: DataFolder) -> bool:
    try:
        # Redis writes its title over its environment: a store is known by its name and the folder that it runs in.
        store = ((process / "comm").read_text().strip(), (process / "cwd").readlink())
        if store in (("valkey-server", data.redis), ("redis-server", data.redis), ("milvus", data.milvus)):
            return True
        return f"{SUPERVISED}={data.path}".encode() in (process / "environ").read_bytes().split(b"\0")
    except OSError:  # it ended meanwhile, or belongs to another user
        return False


def _signal(pids: set[int], number: signal.Signals) -> None:
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)


def _message(line: str) -> str:
    """What one log line says: a JSON line's message, or a plain line without the exception's name."""
    try:
        record = json.loads(line)
        return str(record.get("exception", record["message"])).splitlines()[-1]
    except (ValueError, KeyError, TypeError, AttributeError, IndexError):
        return _EXCEPTION.sub("", line.strip())
