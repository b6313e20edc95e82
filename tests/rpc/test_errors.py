"""Errors keep their meaning across the wire."""

import grpc
import pytest

from rpc.calls import abort_status
from rpc.errors import (
    InvalidArgument,
    NotFound,
    Overloaded,
    ServiceError,
    Unavailable,
    from_status,
    to_status,
)


@pytest.mark.parametrize(
    "error",
    [
        InvalidArgument("parts[0].weight: not a number"),
        NotFound("no collection 'x'"),
        InvalidArgument("not a picture", reason="UNSUPPORTED_PICTURE"),
        Overloaded("full", reason="QUEUE_FULL", retry_after_s=0.25),
    ],
)
def test_status_round_trip_keeps_kind_message_and_details(error: ServiceError) -> None:
    """What one process raises, the next one sees."""
    back = from_status(to_status(error))

    assert type(back) is type(error)
    assert (back.message, back.reason, back.retry_after_s) == (error.message, error.reason, error.retry_after_s)


def test_bug_shows_nothing_of_itself() -> None:
    """An unexpected exception becomes INTERNAL without its text."""
    status = to_status(KeyError("secret"))

    assert status.code == grpc.StatusCode.INTERNAL.value[0]
    assert "secret" not in status.message


def test_unknown_code_is_internal() -> None:
    """A status that no class stands for is not taken for something better."""
    status = to_status(Unavailable("away"))
    status.code = 2

    assert from_status(status).code is grpc.StatusCode.INTERNAL


def test_overload_carries_pushback() -> None:
    """Retrying clients are told how long to wait."""
    trailing = dict(abort_status(Overloaded("full", retry_after_s=0.25)).trailing_metadata)

    assert trailing["grpc-retry-pushback-ms"] == "250"
