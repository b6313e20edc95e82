"""What every call leaves behind, over gRPC and over HTTP: a count, a duration and one log line; and the metrics page."""

import logging
import random
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Self

from prometheus_client import Counter, start_http_server

from rpc.durations import Durations

_BUCKETS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)

REQUESTS = Counter("fovea_requests_total", "Calls answered.", ["service", "method", "code"])
REQUEST_DURATION = Durations(
    "fovea_request_duration_seconds", "Time inside the server.", ["service", "method"], buckets_s=_BUCKETS_S
)
STAGE_DURATION = Durations(
    "fovea_stage_duration_seconds", "Time in one stage of a call.", ["stage"], buckets_s=_BUCKETS_S
)
_SUCCESS = "OK"

logger = logging.getLogger(__name__)


class ObservedCall:
    """One call of `method` of `service`; a context manager that counts, times and logs it at its end.

    The attributes are its labels, and what is not known at first may be set inside the block. `code` is the status that
    was sent, as its protocol names it: of gRPC the name, of HTTP the number. Without one the caller left before. Of the
    calls that end with gRPC's OK only the part `logged` (0..1) gets a line.
    """

    def __init__(self, service: str, method: str, request_id: str, *, logged: float = 1.0) -> None:
        self.service = service
        self.method = method
        self.code = "CANCELLED"
        self._request_id = request_id
        self._logged = logged
        self._started_s = time.perf_counter()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        duration_s = time.perf_counter() - self._started_s
        # Here and nowhere else, so that the metrics and the log line of a call always agree.
        REQUESTS.labels(self.service, self.method, self.code).inc()
        REQUEST_DURATION.observe((self.service, self.method), duration_s)
        # A line takes as long as all else that Fovea does for a small call, and wakes a thread to write it.
        if self.code == _SUCCESS and random.random() >= self._logged:
            return
        logger.info("call", extra=self._labels | {"code": self.code, "duration_ms": round(duration_s * 1000, 2)})

    def log_fault(self, error: BaseException) -> None:
        """Log a fault of ours with its causes, which the caller does not see."""
        logger.error("a call failed", exc_info=error, extra=self._labels)

    @property
    def _labels(self) -> dict[str, object]:
        return {"service": self.service, "method": self.method, "request_id": self._request_id}


@contextmanager
def stage(name: str) -> Iterator[None]:
    """Adds the block's duration to the stage histogram, however it ends."""
    started_s = time.perf_counter()
    try:
        yield
    finally:
        STAGE_DURATION.observe((name,), time.perf_counter() - started_s)


def start_metrics(address: str, port: int) -> None:
    """Serves this process's metrics on `port` of the host in `address`, where the process itself listens; 0 serves none."""
    if port:
        start_http_server(port, addr=address.rpartition(":")[0].strip("[]"))
