"""Which ports the processes get."""

import random
import socket
from contextlib import ExitStack

from cli.failure import CommandFailed

HOST = "127.0.0.1"

# Below the ports that outgoing connections take: a child that is started again must find its port free.
_RANGE = range(20_000, 32_000)


def free_ports(count: int) -> list[int]:
    """As many different ports that nothing listens on right now."""
    found: list[int] = []
    with ExitStack() as held:
        for port in random.sample(_RANGE, len(_RANGE)):
            if len(found) == count:
                return found
            probe = held.enter_context(socket.socket())
            if _can_listen(probe, port):
                found.append(port)
    raise CommandFailed(f"there are no {count} free ports between {_RANGE.start} and {_RANGE.stop}")


def require_free(port: int, flag: str) -> None:
    """Raise CommandFailed when something listens on a port that was asked for."""
    with socket.socket() as probe:
        if not _can_listen(probe, port):
            raise CommandFailed(f"port {port} is in use: give another with {flag}, or stop what listens there")


def _can_listen(probe: socket.socket, port: int) -> bool:
    # As servers do: a port whose last connections are still fading away is free.
    probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        probe.bind((HOST, port))
        probe.listen()
    except OSError:
        return False
    return True
