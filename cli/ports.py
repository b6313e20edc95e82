"""Which ports the processes get."""

import itertools
import random
import socket

from cli.errors import CommandFailed

HOST = "127.0.0.1"

# Below the ports of outgoing connections: a child that is started again must find its port free.
_RANGE = range(20_000, 32_000)


def free_ports(count: int) -> list[int]:
    """As many different ports that nothing listens on right now."""
    candidates = random.sample(_RANGE, len(_RANGE))
    found = list(itertools.islice(filter(_is_free, candidates), count))
    if len(found) < count:
        raise CommandFailed(f"there are no {count} free ports between {_RANGE.start} and {_RANGE.stop}")
    return found


def require_free(port: int, flag: str) -> None:
    """Raise CommandFailed when something listens on the port of an option."""
    if not _is_free(port):
        raise CommandFailed(f"port {port} is in use: give another with {flag}, or stop what listens there")


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        # As servers do: a port whose last connections are in TIME_WAIT is free.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
            probe.listen()
        except OSError:
            return False
    return True
