"""The first messages of calls on threads: a call holds a thread while its message is awaited, so the wait is bounded."""

import time
from collections.abc import Iterator
from typing import Any

import grpc

from rpc.errors import DeadlineExceeded, InvalidArgument


class FirstMessages:
    """Receives the one message of each call, and ends calls that send none within `wait_s`."""

    def __init__(self, wait_s: float) -> None:
        self._wait_s = wait_s
        self._waiting: dict[grpc.ServicerContext, float] = {}

    def receive(self, messages: Iterator[Any], context: grpc.ServicerContext) -> Any:
        """The call's message, or the error that it ends with; grpc.RpcError where the caller has left."""
        self._waiting[context] = time.monotonic() + self._wait_s
        try:
            return next(messages)
        except StopIteration:
            return InvalidArgument("the call ended before its request was sent")
        except grpc.RpcError:
            if context in self._waiting:
                raise
            return DeadlineExceeded(f"the first message did not come within {self._wait_s:g} s; send it at once")
        finally:
            self._waiting.pop(context, 0.0)

    def end_overdue(self) -> None:
        """End the calls that waited for too long; their callers see CANCELLED. Call it again and again."""
        now_s = time.monotonic()
        for context, ends_s in list(self._waiting.items()):
            if ends_s < now_s and self._waiting.pop(context, 0.0):
                context.cancel()  # type: ignore[no-untyped-call]
