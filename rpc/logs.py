"""A process's log: JSON lines on stderr, written by a thread, so that a pipe that is not read stops no call."""

import json
import logging
import os
import queue
import select
import sys
import threading
from types import TracebackType

from prometheus_client import Counter

from rpc.request_id import CURRENT
from rpc.tracing import current_trace_id

MAX_LINES = 10_000
_FLUSH_S = 1.0
_STDERR = 2

_RECORD_FIELDS = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}

DROPPED = Counter("fovea_log_lines_dropped", "Log lines that could not be written in time.")


def configure_logging(level: str) -> None:
    """Sends all log lines of this process to stderr as JSON, warnings and the error that ends the process included."""
    handler = LogWriter(_STDERR)
    handler.setFormatter(_JsonFormatter())
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    logging.captureWarnings(capture=True)
    sys.excepthook = _log_fatal


def _log_fatal(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    if issubclass(kind, KeyboardInterrupt):
        return
    logging.getLogger(__name__).critical("the process failed", exc_info=(kind, error, trace))


class _JsonFormatter(logging.Formatter):
    """One JSON object a line; what was passed as `extra` becomes fields, and the ids of the request that is worked for."""

    def format(self, record: logging.LogRecord) -> str:
        line = {
            "time": round(record.created, 3),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        line |= {name: value for name, value in vars(record).items() if name not in _RECORD_FIELDS}
        if request_id := CURRENT.get():
            line.setdefault("request_id", request_id)
        if trace_id := current_trace_id():
            line["trace_id"] = trace_id
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str)


class LogWriter(logging.Handler):
    """Writes lines to a file descriptor from a thread of its own; while `max_lines` wait, more are dropped and counted.

    It does not use Python's own stream: a blocked thread would hold the lock that the interpreter takes at its exit.
    """

    def __init__(self, descriptor: int, *, max_lines: int = MAX_LINES) -> None:
        super().__init__()
        self._descriptor = descriptor
        self._max_lines = max_lines
        # Not `Queue`: this one may be used by a finalizer that runs inside one of its own methods.
        self._lines: queue.SimpleQueue[bytes | threading.Event | None] = queue.SimpleQueue()
        threading.Thread(target=self._write_forever, name="log", daemon=True).start()

    def emit(self, record: logging.LogRecord) -> None:
        """Hands the record's line over; never waits and never fails."""
        if self._lines.qsize() >= self._max_lines:
            DROPPED.inc()
            return
        try:
            line = self.format(record)
        except Exception:  # noqa: BLE001 - a line that cannot be formatted is not worth its call
            DROPPED.inc()
        else:
            self._lines.put(f"{line}\n".encode(errors="backslashreplace"))

    def flush(self) -> None:
        """Waits until what was handed over is written, a second at most; `logging` does so at exit."""
        written = threading.Event()
        self._lines.put(written)
        written.wait(_FLUSH_S)

    def close(self) -> None:
        """Ends the thread once the lines before are written."""
        self._lines.put(None)
        super().close()

    def _write_forever(self) -> None:
        while (line := self._lines.get()) is not None:
            if isinstance(line, threading.Event):
                line.set()
            elif not self._write(line):
                DROPPED.inc()

    def _write(self, line: bytes) -> bool:
        rest = memoryview(line)
        while rest:
            try:
                rest = rest[os.write(self._descriptor, rest) :]
            except BlockingIOError:
                select.select([], [self._descriptor], [])
            except OSError:
                return False
        return True
