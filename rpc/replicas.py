"""Replicas: the processes that serve one bundle, behind one channel that balances, drops the lost and retries once."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from rpc import health
from rpc.deadline import Deadline
from rpc.errors import NEVER_RETRY, PUSHBACK, Unavailable, Unimplemented

# A call that takes longer makes its replica suspect: busy ones answer a probe, hung ones do not.
_SUSPECT_AFTER_S = 1.0
_PROBE_TIMEOUT_S = 1.0
# How long a call waits where no replica serves: until those that took the places of others are found and connected.
_NONE_SERVES_S = 3.0
_POLL_S = 0.02

_Send: TypeAlias = "Callable[[Replica, float], Awaitable[Any]]"


class _Hung(Exception):
    """The replica answers neither the call nor a probe."""


@dataclass(slots=True, eq=False)
class Replica:
    """One target, whether it answered the last question, and how many calls it is working on."""

    target: str
    channel: grpc.aio.Channel
    answers: bool = True
    in_flight: int = 0

    @property
    def is_serving(self) -> bool:
        """Whether it is connected, and said last that it serves."""
        return self.channel.get_state(try_to_connect=True) is grpc.ChannelConnectivity.READY

    async def is_alive(self, timeout_s: float) -> bool:
        """Asks for its liveness; any answer in time counts, also a refusal."""
        request = health_pb2.HealthCheckRequest(service=health.LIVENESS)
        try:
            await health_pb2_grpc.HealthStub(self.channel).Check(request, timeout=timeout_s)
        except grpc.aio.AioRpcError as error:
            return error.code() not in (grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.UNAVAILABLE)
        return True


class ReplicaChannel:
    """What a stub takes for a channel, for calls that are safe to repeat: the replica with the least work gets each.

    A call whose replica is lost (UNAVAILABLE, or neither the call nor a probe is answered) is sent once more within its
    deadline, to another replica where there is one; once, because it may be the call that ends its replicas. A call that
    finds none that serves waits a moment before it is sent: where replicas are replaced one after the other, the new ones may
    have to be found first. This is the only owner of retries to encoders and detectors: gRPC's retry policy stays inside
    one channel, so it could not go elsewhere, and the two would multiply.
    """

    def __init__(self, name: str, on_lost: Callable[[], None]) -> None:
        self.replicas: Sequence[Replica] = ()
        self._name = name
        self._on_lost = on_lost
        self._turn = 0
        self._serving_count = 0

    def unary_unary(
        self,
        method: str,
        request_serializer: Any = None,
        response_deserializer: Any = None,
        _registered_method: bool = False,  # noqa: FBT001, FBT002 - the stubs' signature
    ) -> Callable[..., Awaitable[Any]]:
        """A callable that takes a request and a timeout, in seconds."""

        async def call(request: Any, *, timeout: float, **options: Any) -> Any:  # noqa: ASYNC109
            def send(replica: Replica, timeout_s: float) -> Awaitable[Any]:
                method_of = replica.channel.unary_unary(method, request_serializer, response_deserializer)
                return method_of(request, timeout=timeout_s, **options)

            return await self._call(send, Deadline.after(timeout))

        return call

    def stream_stream(self, *_: Any, **__: Any) -> Callable[..., Any]:
        """What stubs make of methods that stream; nothing that balances over replicas calls one."""

        def call(*_: Any, **__: Any) -> Any:
            raise Unimplemented("calls that stream are not balanced over replicas")

        return call

    async def _call(self, send: _Send, deadline: Deadline) -> Any:
        replica = await self._serving_replica(deadline)
        try:
            return await self._attempt(replica, send, deadline, may_move=len(self.replicas) > 1)
        except _Hung:
            self._lose(replica)
        except grpc.aio.AioRpcError as error:
            if not _may_be_retried(error):
                raise
            self._lose(replica)
        another = await self._serving_replica(deadline, lost=replica)
        return await self._attempt(another, send, deadline, may_move=False)

    async def _attempt(self, replica: Replica, send: _Send, deadline: Deadline, *, may_move: bool) -> Any:
        answer = asyncio.ensure_future(send(replica, deadline.left_s()))
        replica.in_flight += 1
        try:
            # Without another replica there is nothing to gain from a probe: a slow call keeps its whole deadline.
            while may_move:
                done, _ = await asyncio.wait({answer}, timeout=min(_SUSPECT_AFTER_S, deadline.left_s() / 4))
                if done:
                    break
                if not await replica.is_alive(min(_PROBE_TIMEOUT_S, deadline.left_s() / 3)):
                    raise _Hung
            return await answer
        finally:
            replica.in_flight -= 1
            # A call that moves on would otherwise keep its hung replica, and its request in memory, until the deadline.
            answer.cancel()

    async def _serving_replica(self, deadline: Deadline, lost: Replica | None = None) -> Replica:
        """The serving replica with the fewest calls, in turn among equals; any where none serves in time."""
        give_up_s = time.monotonic() + min(_NONE_SERVES_S, deadline.left_s() / 2)
        while not (serving := self._serving(lost)) and time.monotonic() < give_up_s:
            self._on_lost()
            await asyncio.sleep(_POLL_S)
        # Quiet callers find all replicas idle: without the turn the first one would get every call.
        self._turn += 1
        candidates = serving or self.replicas
        if not candidates:
            raise Unavailable(f"no process serves {self._name!r} any more")
        start = self._turn % len(candidates)
        return min([*candidates[start:], *candidates[:start]], key=lambda replica: replica.in_flight)

    def _serving(self, lost: Replica | None) -> list[Replica]:
        """Those that answered when they were asked last; where none did, which may be too busy for that, all but the lost."""
        serving = [replica for replica in self.replicas if replica.is_serving]
        # One that stops says so before it fails a call. Those that take its place are looked for now: it may be the last
        # of those that are known.
        if len(serving) < self._serving_count:
            self._on_lost()
        self._serving_count = len(serving)
        answering = [replica for replica in serving if replica.answers]
        return answering or [replica for replica in serving if replica is not lost]

    def _lose(self, replica: Replica) -> None:
        # Until it describes itself again: a channel may look READY while its process hangs.
        replica.answers = False
        self._on_lost()


def _may_be_retried(error: grpc.aio.AioRpcError) -> bool:
    """Whether another process may answer: not where the peer itself forbids a retry."""
    trailing: Any = error.trailing_metadata() or ()
    return error.code() is grpc.StatusCode.UNAVAILABLE and dict(trailing).get(PUSHBACK) != NEVER_RETRY
