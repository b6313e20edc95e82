"""Errors keep their meaning across the wire."""

import grpc
import pytest

from domain.reasons import SHUTTING_DOWN
from rpc.errors import (
    InvalidArgument,
    NotFound,
    Overloaded,
    ServiceError,
    Unavailable,
    abort_status,
    from_status,
    to_status,
)


@pytest.mark.parametrize(
    "error",
    [
        InvalidArgument("parts[0].weight: not a number"),
        NotFound("no collection 'x'"),
        InvalidArgument("not an image", reason="UNSUPPORTED_PICTURE"),
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


@pytest.mark.parametrize("name", ["x" * 7000, "ü" * 7000, "\n" * 100_000, "\ud800" * 3000])
def test_callers_text_is_cut_where_a_status_is_made(name: str) -> None:
    """However long the text, the headers stay within what clients take, and the sentence keeps both its ends."""
    status = abort_status(NotFound(f"no collection '{name}' is here; there is: photos"))

    percent_encoded = 3 * len(status.details.encode())
    base64_encoded = sum(len(value) * 4 / 3 for key, value in status.trailing_metadata if key.endswith("-bin"))
    assert percent_encoded + base64_encoded < 6000
    assert status.details.startswith("no collection ")
    assert status.details.endswith(" is here; there is: photos")


def test_short_messages_are_left_alone() -> None:
    """Only what is too long is cut."""
    assert to_status(NotFound("é" * 400)).message == "é" * 400


@pytest.mark.parametrize(
    ("error", "pushback"),
    [
        (Unavailable("Milvus is away"), "-1"),
        (Unavailable("the encoder is shutting down", reason=SHUTTING_DOWN), None),
        (NotFound("nothing"), None),
    ],
)
def test_only_another_replica_is_worth_a_retry(error: ServiceError, pushback: str | None) -> None:
    """What is away behind a server was tried again there already, so its callers must not."""
    assert dict(abort_status(error).trailing_metadata).get("grpc-retry-pushback-ms") == pushback


def test_unknown_code_is_internal() -> None:
    """A status that no class stands for is not taken for something better."""
    status = to_status(Unavailable("away"))
    status.code = 2

    assert from_status(status).code is grpc.StatusCode.INTERNAL


def test_overload_carries_pushback() -> None:
    """Retrying clients learn how long to wait."""
    trailing = dict(abort_status(Overloaded("full", retry_after_s=0.25)).trailing_metadata)

    assert trailing["grpc-retry-pushback-ms"] == "250"
