"""The id of the request that is worked for: from its caller or new, in every log line of it, and passed on with its calls."""

import uuid
from contextvars import ContextVar

from rpc.tracing import Pairs, propagated

REQUEST_ID = "x-request-id"
_MAX_LENGTH = 64

CURRENT: ContextVar[str] = ContextVar("request_id", default="")


def request_id_of(metadata: Pairs) -> str:
    """The caller's own id where it does no harm in a log line or a header, else a new one."""
    sent = next((value for key, value in metadata if key == REQUEST_ID), "")
    is_harmless = isinstance(sent, str) and 0 < len(sent) <= _MAX_LENGTH and sent.isascii() and sent.isprintable()
    return sent if isinstance(sent, str) and is_harmless else uuid.uuid4().hex


def forwarded() -> tuple[tuple[str, str], ...]:
    """The metadata of a call made for the current request: its id, and its place in a trace."""
    request_id = CURRENT.get()
    return ((REQUEST_ID, request_id), *propagated()) if request_id else propagated()
