"""One process of the encoder as its parent sees it: started, asked, ended, and started again."""

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from services.encoder.fronts.parent_watch import HEADER, QUESTION

_FIRST_BACKOFF_S = 0.2
_LONGEST_BACKOFF_S = 10.0
# One that ran for so long is started again without the backoff of its earlier ends.
_STEADY_S = 30.0


@dataclass(frozen=True, slots=True)
class Report:
    """What the process `pid` says of itself: whether it serves, and its metrics in Prometheus's text."""

    pid: int
    is_serving: bool
    metrics: str


class Child:
    """Runs `python -m <module> <descriptor of the parent's socket> <arguments>`; `descriptors` are inherited."""

    def __init__(
        self, name: str, module: str, arguments: Sequence[str], environment: Mapping[str, str], *descriptors: int
    ) -> None:
        self.name = name
        self.has_served = False
        self._module = module
        self._arguments = arguments
        self._environment = environment
        self._descriptors = descriptors
        self._process: subprocess.Popen[bytes] | None = None
        self._socket = socket.socket()
        self._asking = threading.Lock()
        self._asked = 0
        self._unread = bytearray()
        self._served_once = False
        self._started_s = 0.0
        self._backoff_s = _FIRST_BACKOFF_S

    @property
    def pid(self) -> int:
        """The process id; 0 before the first start."""
        return self._process.pid if self._process else 0

    def start(self) -> None:
        """Start it, also again; OSError when the machine forbids it."""
        self._started_s = time.monotonic()
        with self._asking:
            self._socket.close()
            self._unread.clear()
            self.has_served = False
            self._socket, theirs = socket.socketpair()
            with theirs:
                self._process = subprocess.Popen(
                    [sys.executable, "-P", "-m", self._module, str(theirs.fileno()), *self._arguments],
                    env={**os.environ, **self._environment},
                    stdin=subprocess.DEVNULL,
                    pass_fds=(theirs.fileno(), *self._descriptors),
                    process_group=0,  # Ctrl-C at a terminal reaches the parent alone, which stops the processes in order
                )

    def has_ended(self) -> str:
        """How it ended, for people; empty while it runs."""
        assert self._process is not None, "it has not been started"
        status = self._process.poll()
        if status is None:
            return ""
        return f"killed by signal {-status}" if status < 0 else f"exit status {status}"

    @property
    def cannot_start(self) -> bool:
        """Whether it ended by itself before it has served in any of its lives; what was killed may start the next time."""
        assert self._process is not None, "it has not been started"
        return not self._served_once and (self._process.returncode or 0) >= 0

    def is_due(self) -> bool:
        """Whether one that has ended may be started again now: each time that it ends soon, it waits twice as long."""
        ran_s = time.monotonic() - self._started_s
        if ran_s < self._backoff_s:
            return False
        self._backoff_s = min(2 * self._backoff_s, _LONGEST_BACKOFF_S) if ran_s < _STEADY_S else _FIRST_BACKOFF_S
        return True

    def ask(self, timeout_s: float) -> Report | None:
        """Have it report; None where it does not in time."""
        with self._asking:
            self._asked += 1
            try:
                self._socket.settimeout(timeout_s)
                self._socket.send(QUESTION.pack(self._asked))
                # An answer that came too late for its own question is skipped.
                number, report = self._next_report()
                while number != self._asked:
                    number, report = self._next_report()
            except OSError:
                return None
            self.has_served = self.has_served or report.is_serving
            self._served_once = self._served_once or self.has_served
            return report

    def signal(self, number: signal.Signals) -> None:
        """Send a signal, where it runs."""
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(number)

    def wait(self, timeout_s: float) -> None:
        """Wait for its end, and kill it after `timeout_s`."""
        if self._process is None:
            return
        try:
            self._process.wait(max(0.0, timeout_s))
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def close(self) -> None:
        """Let go of it: it ends, if it has not."""
        with self._asking:
            self._socket.close()

    def _next_report(self) -> tuple[int, Report]:
        """The next report that the child sends, and the number of its question."""
        number, is_serving, size = HEADER.unpack(self._received(HEADER.size)[: HEADER.size])
        metrics = self._received(HEADER.size + size)[HEADER.size :].decode()
        self._unread.clear()
        return number, Report(self.pid, is_serving, metrics)

    def _received(self, size: int) -> bytes:
        """The first `size` bytes of a report; what has come stays where this times out."""
        while len(self._unread) < size:
            part = self._socket.recv(size - len(self._unread))
            if not part:
                raise ConnectionResetError("it ended")
            self._unread += part
        return bytes(self._unread)
