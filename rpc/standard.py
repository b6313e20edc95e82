"""Health and reflection: never refused, logged or counted, but with the same status for what cannot be decoded."""

import logging
from collections.abc import AsyncIterator, Iterator
from functools import wraps
from typing import Any, TypeAlias

import grpc

from rpc.codec import Codec, received
from rpc.errors import Internal, ServiceError, abort_status

_Handler: TypeAlias = "grpc.RpcMethodHandler[Any, Any]"

_SERVICES = ("/grpc.health.", "/grpc.reflection.")

logger = logging.getLogger(__name__)


def is_standard(method: str) -> bool:
    """Whether the method belongs to health or reflection, which answer however busy the server is."""
    return method.startswith(_SERVICES)


def standard_handler(handler: _Handler, codec: Codec, *, is_async: bool) -> _Handler:
    """The handler of a standard method with our status for each failure, on an event loop or on threads."""
    unary, stream = (_async_unary, _async_stream) if is_async else (_thread_unary, _thread_stream)
    if handler.stream_stream is not None:
        return grpc.stream_stream_rpc_method_handler(stream(handler.stream_stream), codec.decode, codec.encode)
    if handler.unary_stream is not None:
        return grpc.unary_stream_rpc_method_handler(unary(handler.unary_stream), codec.decode, codec.encode)
    return grpc.unary_unary_rpc_method_handler(unary(handler.unary_unary), codec.decode, codec.encode)


def _thread_unary(behave: Any) -> Any:
    @wraps(behave)  # gRPC reads an attribute of the method: whether it blocks a thread
    def checked(request: Any, context: Any, *rest: Any) -> Any:
        if isinstance(request, ServiceError):
            context.abort_with_status(abort_status(request))
        return behave(request, context, *rest)

    return checked


def _thread_stream(behave: Any) -> Any:
    def checked(requests: Iterator[Any], context: Any) -> Iterator[Any]:
        try:
            yield from behave(map(received, requests), context)
        except Exception as error:  # noqa: BLE001 - the library's own faults must not show its classes
            if context.is_active():
                context.abort_with_status(abort_status(_service_error(error)))

    return checked


def _async_unary(behave: Any) -> Any:
    async def checked(request: Any, context: Any) -> Any:
        if isinstance(request, ServiceError):
            await context.abort_with_status(abort_status(request))
        return await behave(request, context)

    return checked


def _async_stream(behave: Any) -> Any:
    async def checked(requests: AsyncIterator[Any], context: Any) -> AsyncIterator[Any]:
        try:
            async for response in behave((received(request) async for request in requests), context):
                yield response
        except Exception as error:  # noqa: BLE001 - the library's own faults must not show its classes
            await context.abort_with_status(abort_status(_service_error(error)))

    return checked


def _service_error(error: Exception) -> ServiceError:
    if isinstance(error, ServiceError):
        return error
    logger.error("a standard service failed", exc_info=error)
    return Internal("an internal error; see the server's log")
