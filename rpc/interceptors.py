"""The one place where errors become statuses: a thin interceptor for each kind of server around the same `Calls`."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from typing import Any, TypeAlias

import grpc

from rpc import standard
from rpc.calls import Calls, abort_status, is_guarded, request_id_of
from rpc.codec import Codec, received
from rpc.conversation import Conversation, Patience
from rpc.errors import DeadlineExceeded, InvalidArgument, ServiceError

_Handler: TypeAlias = "grpc.RpcMethodHandler[Any, Any]"
_Talk: TypeAlias = "Callable[[Conversation, Any], Awaitable[None]]"


class ThreadInterceptor(grpc.ServerInterceptor):  # type: ignore[type-arg]
    """Guards the unary calls of a server on threads; such servers stream nothing of their own."""

    def __init__(self, calls: Calls, *, max_message_bytes: int) -> None:
        self._calls = calls
        self._max_message_bytes = max_message_bytes

    def intercept_service(
        self,
        continuation: "Callable[[grpc.HandlerCallDetails], _Handler | None]",
        handler_call_details: grpc.HandlerCallDetails,
    ) -> "_Handler | None":
        """Wraps the method's handler, unless it is unknown."""
        handler = continuation(handler_call_details)
        method = handler_call_details.method
        if handler is None:
            return None
        codec = Codec(method, handler, self._max_message_bytes)
        if not is_guarded(method):
            return standard.thread_handler(handler, codec)
        behave = handler.unary_unary
        assert behave is not None, f"{method} streams; a ThreadServer serves unary calls"
        request_id = request_id_of(handler_call_details.invocation_metadata)

        def guarded(request: Any, context: grpc.ServicerContext) -> Any:
            try:
                with self._calls.observe(method, request_id), self._calls.unary():
                    return codec.encode(behave(received(request), context))
            except ServiceError as error:
                context.abort_with_status(abort_status(error))

        return grpc.unary_unary_rpc_method_handler(guarded, codec.decode)


@dataclass(frozen=True, slots=True)
class TimeLimits:
    """The longest that calls may take, in seconds, and the server's patience with their callers."""

    max_time_s: float
    max_stream_s: float
    patience: Patience


class AsyncInterceptor(grpc.aio.ServerInterceptor):  # type: ignore[type-arg]
    """Guards unary and streaming calls of a server on an event loop, and ends those that take too long."""

    def __init__(self, calls: Calls, limits: TimeLimits, *, max_message_bytes: int) -> None:
        self._calls = calls
        self._limits = limits
        self._max_message_bytes = max_message_bytes

    async def intercept_service(
        self,
        continuation: "Callable[[grpc.HandlerCallDetails], Awaitable[_Handler]]",
        handler_call_details: grpc.HandlerCallDetails,
    ) -> "_Handler":
        """Wraps the method's handler, unless it is unknown."""
        handler = await continuation(handler_call_details)
        method = handler_call_details.method
        if handler is None:
            return handler
        codec = Codec(method, handler, self._max_message_bytes)
        if not is_guarded(method):
            return standard.async_handler(handler, codec)
        request_id = request_id_of(handler_call_details.invocation_metadata)
        talk = self._talk(handler)

        # All shapes are the same on the wire. Served as a stream, a unary call whose request never comes ends too, and
        # a coroutine that writes is closed in time when its caller leaves, which a generator that yields is not.
        async def guarded(_: Any, context: Any) -> None:
            conversation = Conversation(context, codec, self._limits.patience)
            try:
                with self._calls.observe(method, request_id):
                    await talk(conversation, context)
            except ServiceError as error:
                await conversation.refuse(error)
            finally:
                conversation.close()

        return grpc.stream_stream_rpc_method_handler(guarded, codec.decode)

    def _talk(self, handler: _Handler) -> _Talk:
        if handler.unary_unary is not None:
            return self._unary(handler.unary_unary)
        if handler.unary_stream is not None:
            return self._stream(handler.unary_stream, lambda _, first: _required(first))
        assert handler.stream_stream is not None, "no Fovea service has this shape"
        return self._stream(handler.stream_stream, lambda conversation, first: conversation.requests(first))

    def _unary(self, behave: Any) -> _Talk:
        async def talk(conversation: Conversation, context: Any) -> None:
            request = _required(await conversation.first())
            with self._calls.unary():
                async with _within(self._limits.max_time_s):
                    response = await behave(request, context)
            await conversation.write(response)

        return talk

    def _stream(self, behave: Any, argument_of: "Callable[[Conversation, Any], Any]") -> _Talk:
        async def talk(conversation: Conversation, context: Any) -> None:
            argument = argument_of(conversation, await conversation.first())
            with self._calls.stream():
                async with (
                    _within(self._limits.max_stream_s),
                    aclosing(behave(argument, context)) as responses,
                ):
                    async for response in responses:
                        await conversation.write(response)

        return talk


@asynccontextmanager
async def _within(max_s: float) -> AsyncIterator[None]:
    timeout = asyncio.timeout(max_s)
    try:
        async with timeout:
            yield
    except TimeoutError as error:
        if not timeout.expired():
            raise
        raise DeadlineExceeded(f"the call took longer than this server's limit of {max_s:g} s") from error


def _required(request: Any) -> Any:
    if request is None:
        raise InvalidArgument("the call ended before its request was sent")
    return request
