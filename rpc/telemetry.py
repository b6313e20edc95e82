"""What a process tells about itself: JSON log lines on stderr and Prometheus metrics."""

import json
import logging
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType

from prometheus_client import Counter, Gauge, Histogram, start_http_server

from rpc.log_writer import LogWriter

_BUCKETS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)

REQUESTS = Counter("fovea_requests_total", "Calls answered.", ["service", "method", "code"])
REQUEST_DURATION = Histogram(
    "fovea_request_duration_seconds", "Time inside the server.", ["service", "method"], buckets=_BUCKETS_S
)
STAGE_DURATION = Histogram(
    "fovea_stage_duration_seconds", "Time in one stage of a call.", ["stage"], buckets=_BUCKETS_S
)
IN_FLIGHT = Gauge("fovea_in_flight", "Unary calls being worked on.")
STREAMS = Gauge("fovea_streams", "Streams that are open.")
REJECTED = Counter("fovea_rejected_total", "Calls and inputs refused to protect the others.", ["reason"])

_STDERR = 2

_RECORD_FIELDS = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


class _JsonFormatter(logging.Formatter):
    """One JSON object a line; what was passed as `extra` becomes fields."""

    def format(self, record: logging.LogRecord) -> str:
        line = {
            "time": round(record.created, 3),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        line |= {name: value for name, value in vars(record).items() if name not in _RECORD_FIELDS}
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str)


def configure_logging(level: str) -> None:
    """Sends all log lines of this process to stderr as JSON, its warnings and last words among them."""
    handler = LogWriter(_STDERR)
    handler.setFormatter(_JsonFormatter())
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    logging.captureWarnings(capture=True)
    sys.excepthook = _log_last_words


def _log_last_words(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    if issubclass(kind, KeyboardInterrupt):
        return
    logging.getLogger(__name__).critical("the process failed", exc_info=(kind, error, trace))


def start_metrics(address: str, port: int) -> None:
    """Serves this process's metrics on `port` of the host in `address`, where the process itself listens; 0 serves none."""
    if port:
        start_http_server(port, addr=address.rpartition(":")[0].strip("[]"))


@contextmanager
def stage(name: str) -> Iterator[None]:
    """Adds the block's duration to the stage histogram."""
    started_s = time.perf_counter()
    try:
        yield
    finally:
        STAGE_DURATION.labels(name).observe(time.perf_counter() - started_s)
