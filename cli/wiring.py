"""Who listens where: ports for a system, from what a person asked for and what is free."""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from cli.data_folder import DataFolder
from cli.embedded import redis_socket
from cli.failure import CommandFailed
from cli.ports import HOST, free_ports, require_free
from cli.running import Running, without_password
from encoders.bundle import Bundle

_LONGEST_SOCKET_PATH = 103  # in bytes: what macOS allows; Linux allows four more


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What a person asked `fovea up` for; an empty URL means the embedded store, port 0 a free one.

    `encoder_port` is the first encoder's; the others count up from it.
    """

    data: DataFolder
    port: int = 8080
    search_port: int = 0
    ingest_port: int = 0
    encoder_port: int = 0
    models: Sequence[Path] = ()
    shipped: bool = True
    roots: Sequence[Path] = ()
    milvus: str = ""
    redis: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wiring:
    """What was decided: folders, bundles and a place for each process. None as Milvus's port: it is elsewhere.

    `milvus_url` and `redis_url` may hold passwords; those in `running`, which other commands read, do not.
    """

    data: DataFolder
    bundles: Sequence[Bundle]
    roots: Sequence[Path]
    running: Running
    milvus_url: str
    redis_url: str
    milvus_port: int | None
    has_redis: bool


def wire(wanted: Wanted, bundles: Sequence[Bundle]) -> Wiring:
    """Give every process its place; CommandFailed when a port that was asked for is taken, or the path is too long."""
    free = iter(free_ports(4 + len(bundles)))
    milvus_port = None if wanted.milvus else next(free)
    milvus_url = wanted.milvus or f"http://{HOST}:{milvus_port}"
    redis_url = wanted.redis or _socket_url(redis_socket(wanted.data.redis))
    running = Running(
        gateway=f"http://{HOST}:{_place(wanted.port, '--port', free)}",
        search=f"{HOST}:{_place(wanted.search_port, '--search-port', free)}",
        ingest=f"{HOST}:{_place(wanted.ingest_port, '--ingest-port', free)}",
        encoders=_encoders(wanted.encoder_port, bundles, free),
        milvus=without_password(milvus_url),
        redis=without_password(redis_url),
    )
    return Wiring(
        data=wanted.data,
        bundles=bundles,
        roots=wanted.roots,
        running=running,
        milvus_url=milvus_url,
        redis_url=redis_url,
        milvus_port=milvus_port,
        has_redis=not wanted.redis,
    )


def _socket_url(socket: Path) -> str:
    excess = len(os.fsencode(socket)) - _LONGEST_SOCKET_PATH
    if excess > 0:
        raise CommandFailed(
            f"the path of the data folder is {excess} bytes too long for the embedded Redis's socket {socket}: "
            "give a shorter one with --data"
        )
    return f"unix://{quote(str(socket))}"


def _encoders(first: int, bundles: Sequence[Bundle], free: Iterator[int]) -> dict[str, str]:
    asked = [first + place if first else 0 for place in range(len(bundles))]
    ports = [_place(port, "--encoder-port", free) for port in asked]
    return {bundle.name: f"{HOST}:{port}" for bundle, port in zip(bundles, ports, strict=True)}


def _place(asked: int, flag: str, free: Iterator[int]) -> int:
    if not asked:
        return next(free)
    require_free(asked, flag)
    return asked
