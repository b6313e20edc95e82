"""TLS before a server that has none: a port that takes TLS and plain connections, and certificates of our own."""

import asyncio
import contextlib
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import trustme

_CLOSING_S = 0.1  # how long the other side has to say that it ends too
_TLS_HANDSHAKE = b"\x16"  # the first byte of a connection with TLS


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """Paths of PEM files: the authority, a server's certificate with its key, and one of a client."""

    authority: Path
    server: Path
    server_key: Path
    client: Path
    client_key: Path


def tls_files(folder: Path, *names: str) -> TlsFiles:
    """Certificates of a new authority; the server's is for these names and addresses."""
    authority = trustme.CA()
    server, client = authority.issue_cert(*names), authority.issue_cert("fovea-client")
    files = TlsFiles(*(folder / f"{name}.pem" for name in ("ca", "server", "server-key", "client", "client-key")))
    authority.cert_pem.write_to_path(files.authority)
    server.private_key_pem.write_to_path(files.server_key)
    client.private_key_pem.write_to_path(files.client_key)
    for certificate, path in ((server, files.server), (client, files.client)):
        path.write_bytes(b"".join(blob.bytes() for blob in certificate.cert_chain_pems))
    return files


@contextmanager
def tls_before(port: int, files: TlsFiles, *, wants_client: bool = False) -> Iterator[int]:
    """A port of 127.0.0.1 behind which that of a server is; plain connections are passed on as well.

    `wants_client`: TLS only with a client's certificate.
    """
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=files.authority)
    context.load_cert_chain(files.server, files.server_key)
    context.set_alpn_protocols(["h2"])  # gRPC goes nowhere without it; Redis does not ask
    context.verify_mode = ssl.CERT_REQUIRED if wants_client else ssl.CERT_NONE
    loop = asyncio.new_event_loop()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.setblocking(False)
        accepting = loop.create_task(_accept(listener, port, context))
        thread = threading.Thread(target=_run, args=(loop, accepting))
        thread.start()
        try:
            yield listener.getsockname()[1]
        finally:
            loop.call_soon_threadsafe(accepting.cancel)
            thread.join()


def _run(loop: asyncio.AbstractEventLoop, accepting: asyncio.Task[None]) -> None:
    with contextlib.suppress(asyncio.CancelledError):
        loop.run_until_complete(accepting)
    loop.run_until_complete(asyncio.sleep(2 * _CLOSING_S))
    loop.close()


async def _accept(listener: socket.socket, port: int, context: ssl.SSLContext) -> None:
    async with asyncio.TaskGroup() as group:
        while True:
            connection, _ = await asyncio.get_running_loop().sock_accept(listener)
            group.create_task(_serve(connection, port, context))


async def _serve(connection: socket.socket, port: int, context: ssl.SSLContext) -> None:
    """Copy both ways until one side ends."""
    loop = asyncio.get_running_loop()
    with contextlib.ExitStack() as stack, contextlib.suppress(OSError):
        stack.enter_context(connection)
        is_tls = await _first_byte(connection) == _TLS_HANDSHAKE
        stack.pop_all()  # the transport closes it from here on
        reader = asyncio.StreamReader()
        protocol = asyncio.StreamReaderProtocol(reader)
        options: dict[str, Any] = {"ssl": context, "ssl_shutdown_timeout": _CLOSING_S} if is_tls else {}
        transport, _ = await loop.connect_accepted_socket(lambda: protocol, connection, **options)
        writer = asyncio.StreamWriter(transport, protocol, reader, loop)
        try:
            from_server, to_server = await asyncio.open_connection("127.0.0.1", port)
            try:
                await asyncio.gather(_copy(reader, to_server), _copy(from_server, writer))
            finally:
                to_server.close()
        finally:
            writer.close()


async def _first_byte(connection: socket.socket) -> bytes:
    """The first byte, which stays to be read."""
    loop, readable = asyncio.get_running_loop(), asyncio.Event()
    loop.add_reader(connection, readable.set)
    try:
        await readable.wait()
    finally:
        loop.remove_reader(connection)
    return connection.recv(1, socket.MSG_PEEK)


async def _copy(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
    try:
        while data := await source.read(1 << 16):
            target.write(data)
            await target.drain()
    finally:
        target.close()
