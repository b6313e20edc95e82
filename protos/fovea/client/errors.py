"""What a call raises: the status of the server with its reason, in one exception."""

from typing import Any

import grpc
from google.rpc import error_details_pb2, status_pb2

_BY_NUMBER: dict[int, grpc.StatusCode] = {code.value[0]: code for code in grpc.StatusCode}


class FoveaError(Exception):
    """A call, or one input of it, failed; the message says what to do.

    `reason` is for programs, for example QUEUE_FULL; docs/grpc.md lists the codes and the reasons. `retry_after_s` is set
    where the server says when to try again.
    """

    def __init__(
        self, code: grpc.StatusCode, message: str, *, reason: str = "", retry_after_s: float | None = None
    ) -> None:
        super().__init__(f"{code.name}: {message}")
        self.code = code
        self.message = message
        self.reason = reason
        self.retry_after_s = retry_after_s


def from_status(status: status_pb2.Status) -> FoveaError:
    """The error that a server sent as this status."""
    reason, retry_after_s = "", None
    for detail in status.details:
        info, retry = error_details_pb2.ErrorInfo(), error_details_pb2.RetryInfo()
        if detail.Unpack(info):
            reason = info.reason
        elif detail.Unpack(retry):
            retry_after_s = retry.retry_delay.ToMilliseconds() / 1000
    code = _BY_NUMBER.get(status.code, grpc.StatusCode.UNKNOWN)
    return FoveaError(code, status.message, reason=reason, retry_after_s=retry_after_s)


def from_rpc_error(error: grpc.RpcError) -> FoveaError:
    """The error behind a call that failed."""
    trailing: Any = error.trailing_metadata() or ()
    for key, value in trailing:
        if key == "grpc-status-details-bin":
            return from_status(status_pb2.Status.FromString(value))
    return FoveaError(error.code(), error.details() or "the server did not say why")
