"""The one place where errors become statuses: a thin interceptor for each kind of server around the same `Calls`."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from typing import Any, TypeAlias

import grpc

from rpc.calls import Calls, abort_status, is_guarded, request_id_of
from rpc.errors import DeadlineExceeded, ServiceError

_Handler: TypeAlias = "grpc.RpcMethodHandler[Any, Any]"


class ThreadInterceptor(grpc.ServerInterceptor):  # type: ignore[type-arg]
    """Guards the unary calls of a server on threads; such servers stream nothing of their own."""

    def __init__(self, calls: Calls) -> None:
        self._calls = calls

    def intercept_service(
        self,
        continuation: "Callable[[grpc.HandlerCallDetails], _Handler | None]",
        handler_call_details: grpc.HandlerCallDetails,
    ) -> "_Handler | None":
        """Wraps the method's handler, unless it is health, reflection or unknown."""
        handler = continuation(handler_call_details)
        method = handler_call_details.method
        if handler is None or not is_guarded(method):
            return handler
        behave = handler.unary_unary
        assert behave is not None, f"{method} streams; a ThreadServer serves unary calls"
        request_id = request_id_of(handler_call_details.invocation_metadata)

        def guarded(request: Any, context: grpc.ServicerContext) -> Any:
            try:
                with self._calls.observe(method, request_id):
                    return behave(request, context)
            except ServiceError as error:
                context.abort_with_status(abort_status(error))

        return grpc.unary_unary_rpc_method_handler(guarded, handler.request_deserializer, handler.response_serializer)


class AsyncInterceptor(grpc.aio.ServerInterceptor):  # type: ignore[type-arg]
    """Guards unary and streaming calls of a server on an event loop, and ends those that take too long."""

    def __init__(self, calls: Calls, *, max_time_s: float, max_stream_s: float) -> None:
        self._calls = calls
        self._max_time_s = max_time_s
        self._max_stream_s = max_stream_s

    async def intercept_service(
        self,
        continuation: "Callable[[grpc.HandlerCallDetails], Awaitable[_Handler]]",
        handler_call_details: grpc.HandlerCallDetails,
    ) -> "_Handler":
        """Wraps the method's handler, unless it is health, reflection or unknown."""
        handler = await continuation(handler_call_details)
        method = handler_call_details.method
        if handler is None or not is_guarded(method):
            return handler
        request_id = request_id_of(handler_call_details.invocation_metadata)
        coders = (handler.request_deserializer, handler.response_serializer)
        if handler.unary_unary is not None:
            return grpc.unary_unary_rpc_method_handler(self._unary(handler.unary_unary, method, request_id), *coders)
        if handler.unary_stream is not None:
            return grpc.unary_stream_rpc_method_handler(self._stream(handler.unary_stream, method, request_id), *coders)
        assert handler.stream_stream is not None, f"{method} has a shape that no Fovea service uses"
        return grpc.stream_stream_rpc_method_handler(self._stream(handler.stream_stream, method, request_id), *coders)

    def _unary(self, behave: Any, method: str, request_id: str) -> Any:
        async def guarded(request: Any, context: Any) -> Any:
            try:
                with self._calls.observe(method, request_id):
                    return await _within(self._max_time_s, behave(request, context))
            except ServiceError as error:
                await context.abort_with_status(abort_status(error))

        return guarded

    def _stream(self, behave: Any, method: str, request_id: str) -> Any:
        # A coroutine that writes, not a generator that yields: a generator whose caller left is never closed in time.
        async def guarded(requests: Any, context: Any) -> None:
            try:
                with self._calls.observe(method, request_id):
                    async with aclosing(behave(requests, context)) as responses:
                        await _forward(responses, context, self._max_stream_s)
            except ServiceError as error:
                await context.abort_with_status(abort_status(error))

        return guarded


async def _within(max_s: float, answer: Awaitable[Any]) -> Any:
    timeout = asyncio.timeout(max_s)
    try:
        async with timeout:
            return await answer
    except TimeoutError as error:
        if not timeout.expired():
            raise
        raise DeadlineExceeded(f"the call took longer than this server's limit of {max_s:g} s") from error


async def _forward(responses: AsyncIterator[Any], context: Any, max_s: float) -> None:
    ends_s = asyncio.get_running_loop().time() + max_s
    while (response := await _within(ends_s - asyncio.get_running_loop().time(), anext(responses, None))) is not None:
        await context.write(response)
