"""Contexts of Open Inference calls: one with less time, and one that the requests of a stream share."""

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, cast

import grpc


def hurried(context: grpc.ServicerContext, timeout_s: float) -> grpc.ServicerContext:
    """The context with a deadline so far away, where that is sooner than its own; 0 leaves it as it is."""
    return cast("grpc.ServicerContext", _HurriedContext(context, timeout_s)) if timeout_s else context


@contextmanager
def streamed(context: grpc.ServicerContext) -> Iterator[grpc.ServicerContext]:
    """The context for the requests of one stream, one after the other."""
    streaming = _StreamContext(context)
    if not context.add_callback(streaming.end):
        streaming.end()
    try:
        yield cast("grpc.ServicerContext", streaming)
    finally:
        streaming.forget()


class _HurriedContext:
    """A call's context with less time; all else is the context's own."""

    def __init__(self, context: grpc.ServicerContext, timeout_s: float) -> None:
        self._context = context
        self._until_s = time.monotonic() + timeout_s

    def time_remaining(self) -> float:
        """Seconds."""
        own_s = self._context.time_remaining()
        return min(math.inf if own_s is None else own_s, self._until_s - time.monotonic())

    def __getattr__(self, name: str) -> Any:
        return getattr(self._context, name)


class _StreamContext:
    """Keeps the callback of the current request alone: gRPC keeps each one, and what it holds, until the stream ends."""

    def __init__(self, context: grpc.ServicerContext) -> None:
        self._context = context
        self._callback: Callable[[], None] | None = None
        self._is_over = False

    def add_callback(self, callback: Callable[[], None]) -> bool:
        """What to call when the caller leaves during the current request; False where it has left."""
        self._callback = callback
        return not self._is_over

    def end(self) -> None:
        """The caller has left."""
        self._is_over = True
        if self._callback is not None:
            self._callback()

    def forget(self) -> None:
        """No request is run any more."""
        self._callback = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._context, name)
