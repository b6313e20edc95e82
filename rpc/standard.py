"""Health and reflection: never refused, logged or counted, but with the same status for what cannot be decoded."""

import logging
from collections.abc import AsyncIterator, Iterator
from functools import wraps
from typing import Any, TypeAlias

import grpc

from rpc.calls import abort_status
from rpc.codec import Codec, received
from rpc.errors import Internal, ServiceError

_Handler: TypeAlias = "grpc.RpcMethodHandler[Any, Any]"

logger = logging.getLogger(__name__)


def thread_handler(handler: _Handler, codec: Codec) -> _Handler:
    """The handler of a standard service on a server on threads."""
    if handler.stream_stream is not None:
        behave = _thread_stream(handler.stream_stream)
        return grpc.stream_stream_rpc_method_handler(behave, codec.decode, codec.encode)
    if handler.unary_stream is not None:
        behave = _thread_unary(handler.unary_stream)
        return grpc.unary_stream_rpc_method_handler(behave, codec.decode, codec.encode)
    return grpc.unary_unary_rpc_method_handler(_thread_unary(handler.unary_unary), codec.decode, codec.encode)


def async_handler(handler: _Handler, codec: Codec) -> _Handler:
    """The handler of a standard service on a server on an event loop."""
    if handler.stream_stream is not None:
        behave = _async_stream(handler.stream_stream)
        return grpc.stream_stream_rpc_method_handler(behave, codec.decode, codec.encode)
    if handler.unary_stream is not None:
        behave = _async_unary(handler.unary_stream)
        return grpc.unary_stream_rpc_method_handler(behave, codec.decode, codec.encode)
    return grpc.unary_unary_rpc_method_handler(_async_unary(handler.unary_unary), codec.decode, codec.encode)


def _thread_unary(behave: Any) -> Any:
    @wraps(behave)  # gRPC reads an attribute that says whether the method blocks a thread
    def checked(request: Any, context: Any, *rest: Any) -> Any:
        if isinstance(request, ServiceError):
            context.abort_with_status(abort_status(request))
        return behave(request, context, *rest)

    return checked


def _thread_stream(behave: Any) -> Any:
    def checked(requests: Iterator[Any], context: Any) -> Iterator[Any]:
        try:
            yield from behave(map(received, requests), context)
        except ServiceError as error:
            context.abort_with_status(abort_status(error))
        except Exception as error:  # noqa: BLE001 - the library's own faults must not show its classes
            if context.is_active():
                context.abort_with_status(abort_status(_fault(error)))

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
            async for response in behave(_all_received(requests), context):
                yield response
        except ServiceError as error:
            await context.abort_with_status(abort_status(error))
        except Exception as error:  # noqa: BLE001 - the library's own faults must not show its classes
            await context.abort_with_status(abort_status(_fault(error)))

    return checked


async def _all_received(requests: AsyncIterator[Any]) -> AsyncIterator[Any]:
    async for request in requests:
        yield received(request)


def _fault(error: Exception) -> ServiceError:
    logger.error("a standard service failed", exc_info=error)
    return Internal("an internal error; see the server's log")
