"""The one place where errors become statuses: an interceptor for each kind of server, with admission and observation."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import aclosing, asynccontextmanager, contextmanager
from typing import Any, TypeAlias

import grpc

from domain.reasons import IN_FLIGHT_LIMIT, STREAM_LIMIT
from rpc.awaited_messages import AwaitedMessages
from rpc.codec import Codec, received
from rpc.conversation import Conversation
from rpc.errors import DeadlineExceeded, Internal, InvalidArgument, ServiceError, abort_status, to_status
from rpc.observer import ObservedCall
from rpc.permits import IN_FLIGHT, STREAMS, Permits, Tally
from rpc.request_id import REQUEST_ID, request_id_of
from rpc.security.access import CALLER, EVERYBODY, Access, Caller
from rpc.settings import ServerSettings
from rpc.standard import is_standard, standard_handler
from rpc.tracing import Pairs

_Handler: TypeAlias = "grpc.RpcMethodHandler[Any, Any]"


class ThreadInterceptor(grpc.ServerInterceptor):  # type: ignore[type-arg]
    """Guards unary calls and streams in both directions of a server on threads."""

    def __init__(self, settings: ServerSettings, access: Access = EVERYBODY, tally: Tally | None = None) -> None:
        self._access = access
        self._permits = _unary_permits(settings, tally)
        self._stream_permits = _stream_permits(settings)
        self._settings = settings
        self._messages = AwaitedMessages(
            first_s=settings.first_message_s, idle_s=settings.stream_idle_s, stream_s=settings.max_stream_s
        )
        self._guarded: dict[str, tuple[_Handler, _Handler]] = {}

    def end_silent_calls(self) -> None:
        """End the calls that hold a thread and send nothing; call it again and again."""
        self._messages.end_overdue()

    def intercept_service(
        self,
        continuation: "Callable[[grpc.HandlerCallDetails], _Handler | None]",
        handler_call_details: grpc.HandlerCallDetails,
    ) -> "_Handler | None":
        """Wraps the method's handler, unless it is unknown; once, as long as the method has the same one."""
        method = handler_call_details.method
        handler = continuation(handler_call_details)
        if handler is None:
            return None
        known, guarded = self._guarded.get(method, (None, None))
        if known is not handler or guarded is None:
            guarded = self._guard(method, handler)
            self._guarded[method] = handler, guarded
        return guarded

    def _guard(self, method: str, handler: _Handler) -> _Handler:
        codec = Codec(method, handler, self._settings.max_message_bytes)
        if is_standard(method):
            return standard_handler(handler, codec, is_async=False)
        if handler.stream_stream is not None:
            return self._guard_stream(method, codec, handler.stream_stream)
        behave = handler.unary_unary
        assert behave is not None, f"{method} has a shape that no Fovea service on threads has"
        logged = self._settings.logged_calls

        # All shapes are the same on the wire. Served as a stream of requests, the call is known while its one is awaited.
        def guarded(requests: Any, context: grpc.ServicerContext) -> Any:
            metadata, request_id = _introduced(context)
            caller = self._access.caller_or_error(metadata)
            # Of a caller that is not known no message is read.
            request = caller if isinstance(caller, ServiceError) else self._messages.first(requests, context)
            try:
                with _observed(method, request_id, metadata, logged):
                    known, message = received(caller), received(request)
                    known.check(method, message)
                    with known.acquire(), self._permits.acquire():
                        return codec.encode(behave(message, context))
            except ServiceError as error:
                context.abort_with_status(abort_status(error, request_id))

        return grpc.stream_unary_rpc_method_handler(guarded, codec.decode)

    def _guard_stream(self, method: str, codec: Codec, behave: Any) -> _Handler:
        logged = self._settings.logged_calls

        def guarded(requests: Any, context: grpc.ServicerContext) -> Iterator[bytes]:
            metadata, request_id = _introduced(context)
            try:
                with _observed(method, request_id, metadata, logged):
                    caller: Caller = received(self._access.caller_or_error(metadata))
                    messages = caller.checked_in_thread(method, self._messages.all(requests, context))
                    with caller.acquire(), self._stream_permits.acquire():
                        yield from map(codec.encode, behave(messages, context))
            except ServiceError as error:
                context.abort_with_status(abort_status(error, request_id))

        return grpc.stream_stream_rpc_method_handler(guarded, codec.decode)


class AsyncInterceptor(grpc.aio.ServerInterceptor):  # type: ignore[type-arg]
    """Guards unary and streaming calls of a server on an event loop, and ends those that take too long."""

    def __init__(self, settings: ServerSettings, access: Access = EVERYBODY) -> None:
        self._access = access
        self._settings = settings
        self._unary_permits = _unary_permits(settings)
        self._stream_permits = _stream_permits(settings)

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
        codec = Codec(method, handler, self._settings.max_message_bytes)
        if is_standard(method):
            return standard_handler(handler, codec, is_async=True)

        # All shapes are the same on the wire. Served as a stream, a unary call whose request never comes ends too, and
        # a coroutine that writes is closed in time when its caller leaves, which a generator that yields is not.
        async def guarded(_: Any, context: Any) -> None:
            metadata, request_id = _introduced(context)
            conversation = Conversation(context, codec, self._settings)
            try:
                with _observed(method, request_id, metadata, self._settings.logged_calls):
                    caller = received(self._access.caller_or_error(metadata))
                    CALLER.set(caller)
                    await self._answer(handler, conversation, context, caller)
            except ServiceError as error:
                await conversation.refuse(error, request_id)
            finally:
                conversation.close()

        return grpc.stream_stream_rpc_method_handler(guarded, codec.decode)

    async def _answer(self, handler: Any, conversation: Conversation, context: Any, caller: Caller) -> None:
        # The first message is passed on without a name here: it may hold a whole image, and a stream may last for hours.
        if handler.unary_unary is not None:
            await self._answer_once(
                handler.unary_unary, await _first(conversation, caller), conversation, context, caller
            )
        elif handler.unary_stream is not None:
            answers = handler.unary_stream(await _first(conversation, caller), context)
            await self._stream(answers, conversation, caller)
        else:
            assert handler.stream_stream is not None, "no Fovea service has this shape"
            requests = conversation.requests(await _first(conversation, caller, required=False))
            requests = caller.checked(conversation.method, requests)
            await self._stream(handler.stream_stream(requests, context), conversation, caller)

    async def _answer_once(
        self, behave: Any, request: Any, conversation: Conversation, context: Any, caller: Caller
    ) -> None:
        # The permits are held for the work alone: slow senders and readers cannot shut others out.
        with caller.acquire(), self._unary_permits.acquire():
            async with _within(self._settings.max_time_s):
                response = await behave(request, context)
        await conversation.write(caller.shown(conversation.method, response))

    async def _stream(self, answers: Any, conversation: Conversation, caller: Caller) -> None:
        with caller.acquire(), self._stream_permits.acquire():
            async with _within(self._settings.max_stream_s), aclosing(answers) as responses:
                async for response in responses:
                    await conversation.write(response)


async def _first(conversation: Conversation, caller: Caller, *, required: bool = True) -> Any:
    """The first message, which its caller may send; None where there is none and none is required."""
    request = await conversation.first()
    if request is not None:
        caller.check(conversation.method, request)
    elif required:
        raise InvalidArgument("the call ended before its request was sent")
    return request


def _unary_permits(settings: ServerSettings, tally: Tally | None = None) -> Permits:
    message = "too many calls at once; send again a little later"
    return Permits(settings.max_in_flight, reason=IN_FLIGHT_LIMIT, message=message, gauge=IN_FLIGHT, tally=tally)


def _stream_permits(settings: ServerSettings) -> Permits:
    """Counted apart, so that streams that stay open take no permit from unary calls."""
    message = "too many streams at once; open it again a little later"
    return Permits(settings.max_streams, reason=STREAM_LIMIT, message=message, gauge=STREAMS)


def _introduced(context: Any) -> tuple[Pairs, str]:
    """The metadata of a call and the id of its request, which goes back with the answer."""
    metadata = context.invocation_metadata() or ()
    request_id = request_id_of(metadata)
    context.set_trailing_metadata(((REQUEST_ID, request_id),))
    return metadata, request_id


@contextmanager
def _observed(method: str, request_id: str, metadata: Pairs, logged: float) -> Iterator[None]:
    """Observes one call; an exception leaves the block as a ServiceError or as a cancellation."""
    service, _, name = method.lstrip("/").partition("/")
    with ObservedCall(service, name, request_id, caller=metadata, logged=logged) as call:
        try:
            yield
            call.code = grpc.StatusCode.OK.name
        except ServiceError as error:
            call.code = error.code.name
            if isinstance(error, Internal):
                call.log_fault(error)
            raise
        except Exception as error:
            call.code = Internal.code.name
            call.log_fault(error)
            raise Internal(to_status(error).message) from error


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
