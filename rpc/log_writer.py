"""Log lines on their way out: a thread writes them, so that a pipe nobody drains stops neither calls nor the process."""

import logging
import os
import queue
import select
import threading

from prometheus_client import Counter

MAX_LINES = 10_000
_FLUSH_S = 1.0

DROPPED = Counter("fovea_log_lines_dropped", "Log lines that could not be written in time.")


class LogWriter(logging.Handler):
    """Writes lines to a file descriptor from a thread of its own; while `max_lines` wait, more are dropped and counted.

    Past Python's own stream, whose lock a blocked thread would hold for ever: the interpreter asks for it at its exit.
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
