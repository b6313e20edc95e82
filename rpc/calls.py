"""What every call gets, on threads or on an event loop: admission, metrics, one log line and the right status."""

import logging
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass

import grpc
from prometheus_client import Gauge

from domain.reasons import IN_FLIGHT_LIMIT, SHUTTING_DOWN, STREAM_LIMIT
from rpc import telemetry
from rpc.errors import Internal, Overloaded, ServiceError, Unavailable, to_status

_STATUS_DETAILS = "grpc-status-details-bin"
PUSHBACK = "grpc-retry-pushback-ms"
NEVER_RETRY = "-1"
_UNGUARDED = ("/grpc.health.", "/grpc.reflection.")

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class AbortStatus(grpc.Status):
    """How a call ends when it fails, in the form that `abort_with_status` takes."""

    code: grpc.StatusCode
    details: str
    trailing_metadata: tuple[tuple[str, str | bytes], ...]


class Calls:
    """Counts the calls of one server, refuses those over its limits, and names how each one ended."""

    def __init__(self, *, max_in_flight: int, max_streams: int = 0) -> None:
        self._unary = _Places(
            max_in_flight, telemetry.IN_FLIGHT, "too many calls at once; send again a little later", IN_FLIGHT_LIMIT
        )
        self._streams = _Places(
            max_streams, telemetry.STREAMS, "too many streams at once; open it again a little later", STREAM_LIMIT
        )

    @contextmanager
    def observe(self, method: str, request_id: str) -> Iterator[None]:
        """Records one call; whatever leaves the block leaves as a ServiceError or a cancellation."""
        started_s = time.perf_counter()
        code = grpc.StatusCode.OK
        try:
            yield
        except ServiceError as error:
            code = error.code
            if isinstance(error, Internal):
                _log_fault(error, method, request_id)
            raise
        except Exception as error:
            code = grpc.StatusCode.INTERNAL
            _log_fault(error, method, request_id)
            raise Internal(to_status(error).message) from error
        except BaseException:
            code = grpc.StatusCode.CANCELLED
            raise
        finally:
            _record(method, request_id, code, time.perf_counter() - started_s)

    def unary(self) -> AbstractContextManager[None]:
        """A place for one unary call; raises Overloaded where there is none."""
        return self._unary.taken()

    def stream(self) -> AbstractContextManager[None]:
        """A place for one stream; streams that stay open take none from unary calls."""
        return self._streams.taken()


class _Places:
    """A bounded number of places, which nobody waits for."""

    def __init__(self, count: int, gauge: Gauge, refusal: str, reason: str) -> None:
        self._gauge = gauge
        self._refusal = refusal
        self._reason = reason
        self._free = threading.BoundedSemaphore(count) if count else None

    @contextmanager
    def taken(self) -> Iterator[None]:
        if self._free is None or not self._free.acquire(blocking=False):
            telemetry.REJECTED.labels(self._reason).inc()
            raise Overloaded(self._refusal, reason=self._reason)
        try:
            with self._gauge.track_inprogress():
                yield
        finally:
            self._free.release()


def is_guarded(method: str) -> bool:
    """Whether a method counts as a call; health and reflection answer however busy the server is."""
    return not method.startswith(_UNGUARDED)


def request_id_of(metadata: Sequence[tuple[str, str | bytes]] | None) -> str:
    """The caller's `x-request-id`, at most 64 characters; empty without one."""
    for key, value in metadata or ():
        if key == "x-request-id":
            return str(value)[:64]
    return ""


def abort_status(error: ServiceError) -> AbortStatus:
    """The status of a failed call, with its details and, where there is one, the pushback for retries."""
    status = to_status(error)
    trailing: list[tuple[str, str | bytes]] = [(_STATUS_DETAILS, status.SerializeToString())]
    if error.retry_after_s is not None:
        trailing.append((PUSHBACK, str(round(error.retry_after_s * 1000))))
    elif isinstance(error, Unavailable) and error.reason != SHUTTING_DOWN:
        # What is away is behind this server and was tried again by it: retries on every hop would multiply.
        trailing.append((PUSHBACK, NEVER_RETRY))
    return AbortStatus(error.code, status.message, tuple(trailing))


def _log_fault(error: Exception, method: str, request_id: str) -> None:
    """A fault of ours with its causes, which the caller is not told."""
    logger.error("a call failed", exc_info=error, extra={"method": method, "request_id": request_id})


def _record(method: str, request_id: str, code: grpc.StatusCode, duration_s: float) -> None:
    service, _, name = method.lstrip("/").partition("/")
    telemetry.REQUESTS.labels(service, name, code.name).inc()
    telemetry.REQUEST_DURATION.labels(service, name).observe(duration_s)
    fields = {"method": method, "code": code.name, "duration_ms": round(duration_s * 1000, 2), "request_id": request_id}
    logger.info("call", extra=fields)
