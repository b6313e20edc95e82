"""Messages that calls on threads wait for: a call holds a thread while one is awaited, so each wait is bounded."""

import time
from collections.abc import Iterator
from typing import Any

import grpc

from rpc.codec import received
from rpc.errors import Cancelled, DeadlineExceeded, InvalidArgument


class AwaitedMessages:
    """Receives what callers send, and ends calls whose first message takes `first_s` or whose next one takes `idle_s`."""

    def __init__(self, *, first_s: float, idle_s: float, stream_s: float) -> None:
        self._first_s = first_s
        self._idle_s = idle_s
        self._stream_s = stream_s
        self._waiting: dict[grpc.ServicerContext, float] = {}

    def first(self, messages: Iterator[Any], context: grpc.ServicerContext) -> Any:
        """The one message of a call, or the error that it ends with; grpc.RpcError where the caller has left."""
        try:
            return self._next(messages, context, self._first_s)
        except StopIteration:
            return InvalidArgument("the call ended before its request was sent")
        except DeadlineExceeded as error:
            return error

    def all(self, messages: Iterator[Any], context: grpc.ServicerContext) -> Iterator[Any]:
        """The messages of a stream until its caller ends it.

        Raises DeadlineExceeded where none comes, Cancelled where the caller has left, and what is wrong with a message.
        """
        wait_s, ends_s = self._first_s, time.monotonic() + self._stream_s
        while time.monotonic() < ends_s:
            try:
                message = self._next(messages, context, wait_s)
            except StopIteration:
                return
            except grpc.RpcError as error:
                raise Cancelled("the caller has left") from error
            yield received(message)
            wait_s = self._idle_s
        raise DeadlineExceeded(f"the stream was open for {self._stream_s:g} s, as long as one may be; open another")

    def end_overdue(self) -> None:
        """End the calls that waited for too long; their callers see CANCELLED. Call it again and again."""
        now_s = time.monotonic()
        for context, ends_s in list(self._waiting.items()):
            if ends_s < now_s and self._waiting.pop(context, 0.0):
                context.cancel()  # type: ignore[no-untyped-call]

    def _next(self, messages: Iterator[Any], context: grpc.ServicerContext, wait_s: float) -> Any:
        self._waiting[context] = time.monotonic() + wait_s
        try:
            return next(messages)
        except grpc.RpcError as error:
            if context in self._waiting:
                raise
            raise DeadlineExceeded(f"no message came within {wait_s:g} s; send it at once") from error
        finally:
            self._waiting.pop(context, 0.0)
