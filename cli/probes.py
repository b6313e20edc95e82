"""Probes: questions that a process answers when it can be used, or as long as it is alive."""

import asyncio
import contextlib
import socket
from asyncio import StreamReader, StreamWriter
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeAlias
from urllib.parse import urlsplit

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from rpc.channel import open_channel
from rpc.security.process import PLAIN, Security

Probe: TypeAlias = Callable[[], Awaitable[bool]]
"""Awaited, answers within `TIMEOUT_S`; OSError where this process has no file descriptor left to ask with."""

TIMEOUT_S = 5.0

_NO_PROXY = (("grpc.enable_http_proxy", 0),)  # proxies are for the web, not for processes of one machine
_UNANSWERED = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED)


def serves_grpc(target: str, name: str, security: Security = PLAIN) -> Probe:
    """True when the health service says that `name`, for example `readiness`, is SERVING."""

    async def ask() -> bool:
        async with open_channel(target, security=security) as channel:
            request = health_pb2.HealthCheckRequest(service=name)
            try:
                response = await health_pb2_grpc.HealthStub(channel).Check(request, timeout=TIMEOUT_S)
            except grpc.RpcError:
                return False
        return bool(response.status == health_pb2.HealthCheckResponse.SERVING)

    return ask


def answers_milvus(target: str) -> Probe:
    """True when Milvus answers which collections there are, also with an error."""

    async def ask() -> bool:
        async with grpc.aio.insecure_channel(target, options=_NO_PROXY) as channel:
            # The empty message asks for all collections; only the stores import Milvus's own messages.
            question = channel.unary_unary("/milvus.proto.milvus.MilvusService/ShowCollections", None, None)
            try:
                await question(b"", timeout=TIMEOUT_S)
            except grpc.RpcError as error:
                return error.code() not in _UNANSWERED
        return True

    return ask


def answers_redis(socket: Path) -> Probe:
    """True when Redis answers PING, also with an error, as while it loads its data or runs a long script."""

    async def ask() -> bool:
        answer = await _first_line(asyncio.open_unix_connection(socket), b"PING\r\n")
        return answer.startswith((b"+", b"-"))

    return ask


def answers_http(url: str, status: str = "", security: Security = PLAIN) -> Probe:
    """True when a GET of `url` is answered with this status, or with any: a busy server may refuse and is alive."""
    parts = urlsplit(url)
    question = f"GET {parts.path} HTTP/1.1\r\nHost: {parts.netloc}\r\nConnection: close\r\n\r\n".encode()

    async def ask() -> bool:
        context = security.files.client_context() if parts.scheme == "https" else None
        answer = await _first_line(asyncio.open_connection(parts.hostname, parts.port, ssl=context), question)
        return answer.startswith(f"HTTP/1.1 {status}".encode())

    return ask


def require_file_descriptor() -> None:
    """Raise OSError where this process cannot open a file: a probe would call a healthy process dead."""
    socket.socket().close()


async def accepts_connections(host: str, port: int) -> bool:
    """Whether something listens there."""
    try:
        async with asyncio.timeout(TIMEOUT_S):
            _, writer = await asyncio.open_connection(host, port)
    except OSError:
        return False
    writer.close()
    return True


async def _first_line(connecting: Awaitable[tuple[StreamReader, StreamWriter]], question: bytes) -> bytes:
    """The first line of the answer; empty where none comes in time."""
    try:
        async with asyncio.timeout(TIMEOUT_S):
            reader, writer = await connecting
            with contextlib.closing(writer):
                writer.write(question)
                return await reader.readline()
    except (ConnectionError, FileNotFoundError, TimeoutError):
        return b""
