"""The port that fronts share: held by their parent, and refused where a stranger has it."""

import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager


@contextmanager
def shared_port(address: str) -> Iterator[str]:
    """Hold `host:port` for the processes of this user that share it; port 0 becomes a free one.

    OSError where someone listens there: with SO_REUSEPORT alone two programs would take each other's calls in silence.
    """
    host, _, port = address.rpartition(":")
    with ExitStack() as stack:
        try:
            number = _held(stack, host.strip("[]"), int(port))
        except (OSError, ValueError) as error:
            message = f"cannot listen on {address}: the port is taken or the address is not this machine's"
            raise OSError(message) from error
        yield f"{host}:{number}"


def _held(stack: ExitStack, host: str, port: int) -> int:
    """Bind every address of a host, without listening: connections go to those who listen."""
    found = socket.getaddrinfo(host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    for family, _, _, _, (name, _, *rest) in found:
        with _socket(family) as alone:
            alone.bind((name, port, *rest))
            port = alone.getsockname()[1]
        held = stack.enter_context(_socket(family))
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        held.bind((name, port, *rest))
    return port


def _socket(family: int) -> socket.socket:
    made = socket.socket(family, socket.SOCK_STREAM)
    # As gRPC does: connections that ended a moment ago keep nobody from the port.
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if family == socket.AF_INET6:
        made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    return made
