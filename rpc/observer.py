"""What every call leaves behind, over gRPC and over HTTP: a count, a duration, one log line and a span; and the metrics page."""

import logging
import random
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal, Self

from prometheus_client import Counter, start_http_server

from rpc.durations import Durations
from rpc.request_id import CURRENT
from rpc.tracing import Attributes, Pairs, call_span, end_of, span

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
    """One call of `method` of `service`; a context manager that counts, times, logs and traces it.

    Inside the block `request_id` is the current one, and the call's span is a child of the one that `caller` names.

    The attributes are its labels, and what is not known at first may be set inside the block. `code` is the status that
    was sent, as its protocol names it: of gRPC the name, of HTTP the number. Without one the caller left before. Of the
    calls that end with gRPC's OK only the part `logged` (0..1) gets a line.
    """

    def __init__(
        self,
        service: str,
        method: str,
        request_id: str,
        *,
        caller: Pairs = (),
        protocol: Literal["grpc", "http"] = "grpc",
        logged: float = 1.0,
    ) -> None:
        self.service = service
        self.method = method
        self.code = "CANCELLED"
        self._request_id = request_id
        self._protocol = protocol
        self._logged = logged
        self._tracing = call_span(caller)
        self._started_s = time.perf_counter()

    def __enter__(self) -> Self:
        self._outer_id = CURRENT.get()
        CURRENT.set(self._request_id)
        self._span = self._tracing.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        duration_s = time.perf_counter() - self._started_s
        try:
            self._leave_behind(duration_s)
        finally:
            self._tracing.__exit__(None, None, None)
            CURRENT.set(self._outer_id)

    def _leave_behind(self, duration_s: float) -> None:
        end_of(self._span, *self._description(), error=self.code if self._has_failed else "")
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
    def _has_failed(self) -> bool:
        return self.code >= "500" if self._protocol == "http" else self.code != _SUCCESS

    def _description(self) -> tuple[str, Attributes]:
        """The name and the attributes of the span."""
        if self._protocol == "http":
            verb, _, route = self.method.partition(" ")
            status: Attributes = {"http.response.status_code": int(self.code)} if self.code.isdigit() else {}
            return self.method, {"http.request.method": verb, "http.route": route, **status}
        name = f"{self.service}/{self.method}"
        return name, {"rpc.system.name": "grpc", "rpc.method": name, "rpc.status_code": self.code}

    @property
    def _labels(self) -> dict[str, object]:
        return {"service": self.service, "method": self.method, "request_id": self._request_id}


@contextmanager
def stage(name: str) -> Iterator[None]:
    """Adds the block's duration to the stage histogram, and a span to the call's trace, however it ends."""
    started_s = time.perf_counter()
    try:
        with span(name):
            yield
    finally:
        STAGE_DURATION.observe((name,), time.perf_counter() - started_s)


def start_metrics(address: str, port: int) -> None:
    """Serves this process's metrics on `port` of the host in `address`, where the process itself listens; 0 serves none."""
    if port:
        start_http_server(port, addr=address.rpartition(":")[0].strip("[]"))
