"""Errors that cross the wire: one class for each status, and the only translation between the two."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, ClassVar

import grpc
from google.rpc import error_details_pb2, status_pb2
from grpc_status import rpc_status

from domain.reasons import MESSAGE_TOO_LARGE, QUEUE_FULL, SHUTTING_DOWN, STARTING
from rpc.request_id import REQUEST_ID

DOMAIN = "fovea"
PUSHBACK = "grpc-retry-pushback-ms"
NEVER_RETRY = "-1"

# A status travels in headers, of which clients take 8 KiB: twice, once with up to three characters for each byte.
_HEAD_BYTES = 640
_TAIL_BYTES = 320


class ServiceError(Exception):
    """What went wrong, in one sentence for the caller; `reason` is for programs (google.rpc.ErrorInfo)."""

    code: ClassVar[grpc.StatusCode] = grpc.StatusCode.UNKNOWN

    def __init__(self, message: str, *, reason: str = "", retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.reason = reason
        self.retry_after_s = retry_after_s


class InvalidArgument(ServiceError):
    """The request itself is wrong; the message names the field."""

    code = grpc.StatusCode.INVALID_ARGUMENT


class NotFound(ServiceError):
    """The named thing does not exist."""

    code = grpc.StatusCode.NOT_FOUND


class AlreadyExists(ServiceError):
    """The name is taken."""

    code = grpc.StatusCode.ALREADY_EXISTS


class Aborted(ServiceError):
    """Another caller is writing the same thing."""

    code = grpc.StatusCode.ABORTED


class FailedPrecondition(ServiceError):
    """The request fits the contract but not the state, for example another embedding space."""

    code = grpc.StatusCode.FAILED_PRECONDITION


class Unauthenticated(ServiceError):
    """Nobody knows who calls."""

    code = grpc.StatusCode.UNAUTHENTICATED


class PermissionDenied(ServiceError):
    """The caller may not have this."""

    code = grpc.StatusCode.PERMISSION_DENIED


class OutOfRange(ServiceError):
    """A position beyond what is served."""

    code = grpc.StatusCode.OUT_OF_RANGE


class Overloaded(ServiceError):
    """A bounded queue is full; send again after `retry_after_s`."""

    code = grpc.StatusCode.RESOURCE_EXHAUSTED

    def __init__(self, message: str, *, reason: str = QUEUE_FULL, retry_after_s: float | None = 0.1) -> None:
        super().__init__(message, reason=reason, retry_after_s=retry_after_s)


class Unavailable(ServiceError):
    """The server, or one behind it, is loading, draining or away."""

    code = grpc.StatusCode.UNAVAILABLE


class DeadlineExceeded(ServiceError):
    """The caller's time ran out."""

    code = grpc.StatusCode.DEADLINE_EXCEEDED


class Cancelled(ServiceError):
    """The caller has left."""

    code = grpc.StatusCode.CANCELLED


class Unimplemented(ServiceError):
    """Part of the contract that this release does not implement."""

    code = grpc.StatusCode.UNIMPLEMENTED


class Internal(ServiceError):
    """A fault of ours; the message shows no internals."""

    code = grpc.StatusCode.INTERNAL


_BY_CODE: dict[grpc.StatusCode, type[ServiceError]] = {kind.code: kind for kind in ServiceError.__subclasses__()}
_BY_NUMBER: dict[int, grpc.StatusCode] = {code.value[0]: code for code in grpc.StatusCode}


def to_status(error: BaseException) -> status_pb2.Status:
    """The status that a caller sees; anything but a ServiceError is a bug and shows nothing of itself."""
    if not isinstance(error, ServiceError):
        return status_pb2.Status(
            code=grpc.StatusCode.INTERNAL.value[0], message="an internal error; see the server's log"
        )
    status = status_pb2.Status(code=error.code.value[0], message=_shortened(error.message))
    if error.reason:
        status.details.add().Pack(error_details_pb2.ErrorInfo(reason=error.reason, domain=DOMAIN))
    if error.retry_after_s is not None:
        retry = error_details_pb2.RetryInfo()
        retry.retry_delay.FromMilliseconds(round(error.retry_after_s * 1000))
        status.details.add().Pack(retry)
    return status


def abort_status(error: ServiceError, request_id: str = "") -> Any:
    """The status of a failed call for `abort_with_status`: its details, the id of the request, and any pushback for retries."""
    status: Any = rpc_status.to_status(to_status(error))
    trailing: tuple[tuple[str, str], ...] = ((REQUEST_ID, request_id),) if request_id else ()
    if error.retry_after_s is not None:
        trailing += ((PUSHBACK, str(round(error.retry_after_s * 1000))),)
    elif isinstance(error, Unavailable) and error.reason not in (STARTING, SHUTTING_DOWN):
        # A server behind this one is away, and this one has retried already: retries on every hop would multiply.
        trailing += ((PUSHBACK, NEVER_RETRY),)
    return status._replace(trailing_metadata=(*status.trailing_metadata, *trailing))


def from_status(status: status_pb2.Status) -> ServiceError:
    """The error that a server sent as this status."""
    reason, retry_after_s = "", None
    for detail in status.details:
        info, retry = error_details_pb2.ErrorInfo(), error_details_pb2.RetryInfo()
        if detail.Unpack(info):
            reason = info.reason
        elif detail.Unpack(retry):
            retry_after_s = retry.retry_delay.ToMilliseconds() / 1000
    kind = _BY_CODE.get(_BY_NUMBER.get(status.code, grpc.StatusCode.UNKNOWN), Internal)
    return kind(status.message, reason=reason, retry_after_s=retry_after_s)


def from_rpc_error(error: grpc.RpcError, peer: str) -> ServiceError:
    """The error behind a failed call; without a status from the peer itself, the peer is named."""
    status = rpc_status.from_call(error)  # type: ignore[arg-type]
    if status is not None:
        return from_status(status)
    code = error.code()
    if code == grpc.StatusCode.UNAVAILABLE:
        return Unavailable(f"the {peer} service cannot be reached")
    if code == grpc.StatusCode.DEADLINE_EXCEEDED:
        return DeadlineExceeded(f"the {peer} service did not answer in time")
    if code == grpc.StatusCode.RESOURCE_EXHAUSTED and "larger than max" in str(error.details()):
        # gRPC's own status for a message over its limit. As an overload it would be sent again, and fail again.
        return InvalidArgument(f"the message is too large for the {peer} service", reason=MESSAGE_TOO_LARGE)
    return _BY_CODE.get(code, Internal)(f"the {peer} service: {error.details()}")


@contextmanager
def service_errors(peer: str) -> Iterator[None]:
    """Turns a failed call inside the block into the ServiceError that the peer raised."""
    try:
        yield
    except grpc.RpcError as error:
        raise from_rpc_error(error, peer) from error


def _shortened(message: str) -> str:
    """The message as UTF-8 that fits into a status; a long one keeps its ends, since callers' text is in the middle."""
    data = message.encode(errors="replace")
    if len(data) <= _HEAD_BYTES + _TAIL_BYTES:
        return data.decode()
    return f"{data[:_HEAD_BYTES].decode(errors='ignore')} … {data[-_TAIL_BYTES:].decode(errors='ignore')}"
