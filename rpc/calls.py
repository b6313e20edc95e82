"""What every call gets, on threads or on an event loop: admission, metrics, one log line and the right status."""

import logging
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import grpc
from google.rpc import status_pb2

from rpc import telemetry
from rpc.errors import Internal, Overloaded, ServiceError, to_status

_STATUS_DETAILS = "grpc-status-details-bin"
_PUSHBACK = "grpc-retry-pushback-ms"
_UNGUARDED = ("/grpc.health.", "/grpc.reflection.")

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class AbortStatus(grpc.Status):
    """How a call ends when it fails, in the form that `abort_with_status` takes."""

    code: grpc.StatusCode
    details: str
    trailing_metadata: tuple[tuple[str, str | bytes], ...]


class Calls:
    """Counts the calls of one server, refuses those over its limit, and names how each one ended."""

    def __init__(self, max_in_flight: int) -> None:
        self._max_in_flight = max_in_flight
        self._in_flight = 0
        self._lock = threading.Lock()

    @contextmanager
    def observe(self, method: str, request_id: str) -> Iterator[None]:
        """Admits one call or raises Overloaded; whatever leaves the block leaves as a ServiceError or a cancellation."""
        started_s = time.perf_counter()
        code = grpc.StatusCode.OK
        try:
            with self._admitted():
                yield
        except ServiceError as error:
            code = error.code
            raise
        except Exception as error:
            code = grpc.StatusCode.INTERNAL
            logger.exception("a call failed", extra={"method": method, "request_id": request_id})
            raise Internal(to_status(error).message) from error
        except BaseException:
            code = grpc.StatusCode.CANCELLED
            raise
        finally:
            _record(method, request_id, code, time.perf_counter() - started_s)

    @contextmanager
    def _admitted(self) -> Iterator[None]:
        with self._lock:
            is_full = self._in_flight >= self._max_in_flight
            self._in_flight += not is_full
        if is_full:
            telemetry.REJECTED.labels("IN_FLIGHT_LIMIT").inc()
            raise Overloaded("too many calls at once; send again a little later", reason="IN_FLIGHT_LIMIT")
        telemetry.IN_FLIGHT.inc()
        try:
            yield
        finally:
            telemetry.IN_FLIGHT.dec()
            with self._lock:
                self._in_flight -= 1


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
    status: status_pb2.Status = to_status(error)
    trailing: list[tuple[str, str | bytes]] = [(_STATUS_DETAILS, status.SerializeToString())]
    if error.retry_after_s is not None:
        trailing.append((_PUSHBACK, str(round(error.retry_after_s * 1000))))
    return AbortStatus(error.code, error.message, tuple(trailing))


def _record(method: str, request_id: str, code: grpc.StatusCode, duration_s: float) -> None:
    service, _, name = method.lstrip("/").partition("/")
    telemetry.REQUESTS.labels(service, name, code.name).inc()
    telemetry.REQUEST_DURATION.labels(service, name).observe(duration_s)
    fields = {"method": method, "code": code.name, "duration_ms": round(duration_s * 1000, 2), "request_id": request_id}
    logger.info("call", extra=fields)
