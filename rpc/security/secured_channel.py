"""A channel that follows the files of its certificates and of its token."""

import asyncio
from collections.abc import Callable, Iterable
from typing import Any, Self

import grpc

from rpc.security.access import AUTHORIZATION
from rpc.security.certificates import Certificates
from rpc.security.watched_files import WatchedFiles
from rpc.tasks import end

# The longest that a call may take; those that began before a change of certificates end on their old connection.
_LONGEST_CALL_S = 7 * 86_400.0


class SecuredChannel(grpc.aio.Channel):
    """Opened anew when its certificates change, while calls under way end on the old connection.

    Without certificates it speaks in the clear. Calls that name no caller of their own carry the token.
    """

    def __init__(
        self,
        certificates: WatchedFiles[Certificates] | None,
        token: WatchedFiles[str] | None,
        open_with: Callable[[Certificates | None], grpc.aio.Channel],
    ) -> None:
        self._files = certificates
        self._token = token
        self._open = open_with
        self._certificates = certificates.get() if certificates else None
        self._channel = open_with(self._certificates)
        self._closing: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self, grace: float | None = None) -> None:
        """Close all connections; calls have `grace` seconds to end."""
        for task in list(self._closing):
            await end(task)
        await self._channel.close(grace)

    def get_state(self, try_to_connect: bool = False) -> grpc.ChannelConnectivity:  # noqa: FBT001, FBT002 - gRPC's signature
        """The state of the connection that a call would use."""
        return self._current().get_state(try_to_connect)

    async def wait_for_state_change(self, last_observed_state: grpc.ChannelConnectivity) -> None:
        """Wait until that state is another one."""
        await self._current().wait_for_state_change(last_observed_state)

    async def channel_ready(self) -> None:
        """Wait until there is a connection."""
        await self._current().channel_ready()

    def unary_unary(self, *method: Any, **options: Any) -> Any:
        """A callable, as gRPC's own; so are the next three."""
        return self._caller("unary_unary", method, options)

    def unary_stream(self, *method: Any, **options: Any) -> Any:
        """One request, many responses."""
        return self._caller("unary_stream", method, options)

    def stream_unary(self, *method: Any, **options: Any) -> Any:
        """Many requests, one response."""
        return self._caller("stream_unary", method, options)

    def stream_stream(self, *method: Any, **options: Any) -> Any:
        """Many of both."""
        return self._caller("stream_stream", method, options)

    def _caller(self, shape: str, method: tuple[Any, ...], options: dict[str, Any]) -> Callable[..., Any]:
        def call(*request: Any, metadata: Any = None, **call_options: Any) -> Any:
            # Stubs make their callables once, so the channel is chosen for each call.
            send = getattr(self._current(), shape)(*method, **options)
            return send(*request, metadata=self._with_token(metadata), **call_options)

        return call

    def _with_token(self, metadata: Iterable[tuple[str, str]] | None) -> Any:
        sent = tuple(metadata or ())
        if self._token is None or any(key == AUTHORIZATION for key, _ in sent):
            return sent
        return (*sent, (AUTHORIZATION, f"Bearer {self._token.get()}"))

    def _current(self) -> grpc.aio.Channel:
        certificates = self._files.get() if self._files else None
        if certificates is not self._certificates:
            closing = asyncio.create_task(self._channel.close(_LONGEST_CALL_S), name="former-channel")
            self._closing.add(closing)
            closing.add_done_callback(self._closing.discard)
            self._certificates, self._channel = certificates, self._open(certificates)
        return self._channel
