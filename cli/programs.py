"""The parts list of a system on one machine: its programs, their addresses, arguments and settings."""

import json
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TypeAlias
from urllib.parse import quote, urlsplit

from cli.child_process import Program
from cli.data_folder import DataFolder, RunningSystem
from cli.embedded import EmbeddedCommand, milvus_command, redis_command, redis_socket
from cli.errors import CommandFailed
from cli.options import SystemOptions
from cli.ports import HOST, free_ports, require_free
from cli.probes import Probe, answers_http, answers_milvus, answers_redis, serves_grpc
from encoders.bundle import Bundle
from rpc.security.process import PLAIN, Security

_LONGEST_SOCKET_PATH = 103  # in bytes: what macOS allows; Linux allows four more

# -P: the folder that a process starts in must not shadow a package.
_PYTHON = (sys.executable, "-P", "-m")

# Higher ranks stop first. Their times to stop, 2 s each and 3 s for services, are together less than 10 s.
_GATEWAY, _SERVICES, _ENCODERS, _STORES = 3, 2, 1, 0

# Ingest keeps its throughput where cores are idle, and a search does not wait for one.
_INGEST_NICENESS = 10

EncoderProcesses: TypeAlias = Mapping[str, Sequence[Bundle]]
"""The encoder processes by name, each with the bundles that it serves."""


def encoder_processes(options: SystemOptions, bundles: Sequence[Bundle]) -> EncoderProcesses:
    """One process for what embeds and one for what detects, or one for each bundle.

    Two, because a process takes 60 MiB before its first model, and because detecting must not hold up a query.
    """
    if options.process_per_bundle:
        return {f"encoder-{bundle.name}": [bundle] for bundle in bundles}
    detecting = [bundle for bundle in bundles if bundle.is_detector]
    embedding = [bundle for bundle in bundles if not bundle.is_detector]
    processes = {"encoder-embedding": embedding, "encoder-detecting": detecting}
    return {name: served for name, served in processes.items() if served}


def assign_addresses(
    options: SystemOptions, port: int, processes: EncoderProcesses, security: Security = PLAIN
) -> RunningSystem:
    """Where each process listens; CommandFailed when a port of the options is taken or the data folder's path too long."""
    free = iter(free_ports(4 + len(processes)))
    encoders: dict[str, str] = {}
    for number, bundles in enumerate(processes.values()):
        encoder_port = _port(options.encoder_port and options.encoder_port + number, "--encoder-port", free)
        encoders |= {bundle.name: f"{HOST}:{encoder_port}" for bundle in bundles}
    return RunningSystem(
        gateway=f"{'https' if security.serves_tls else 'http'}://{HOST}:{_port(port, '--port', free)}",
        search=f"{HOST}:{_port(options.search_port, '--search-port', free)}",
        ingest=f"{HOST}:{_port(options.ingest_port, '--ingest-port', free)}",
        encoders=encoders,
        milvus=options.milvus or f"http://{HOST}:{next(free)}",
        redis=options.redis or _socket_url(redis_socket(options.folder.redis)),
    )


def programs(
    options: SystemOptions, processes: EncoderProcesses, system: RunningSystem, security: Security = PLAIN
) -> list[Program]:
    """Every program of the system at its address, in the order in which they are started."""
    data = options.folder

    def service(name: str, kind: str, address: str, **settings: object) -> Program:
        return _service(name, kind, address, data, security, **settings)

    encoders = [
        service(
            name,
            "encoder",
            system.encoders[served[0].name],
            bundles=[str(bundle.folder) for bundle in served],
            **({"fronts": options.fronts} if options.fronts else {}),
        )
        for name, served in processes.items()
    ]
    targets = {"encoders": list(dict.fromkeys(system.encoders.values()))}
    stores = {"milvus_uri": system.milvus, "redis_url": system.redis}
    images = {"roots": [str(root) for root in options.roots], "uploads": str(data.uploads)}
    return [
        *_stores(options, system),
        *encoders,
        service("search", "search", system.search, **targets, **stores),
        service("ingest", "ingest", system.ingest, **targets, **stores, **images),
        _gateway(data, system, security, **targets, **images),
    ]


def embedded_redis(folder: Path) -> Program:
    """The Redis that Fovea brings along."""
    socket = redis_socket(folder)
    return _store("redis", redis_command(folder), f"unix:{socket}", answers_redis(socket))


def embedded_milvus(folder: Path, port: int) -> Program:
    """The Milvus that Fovea brings along."""
    address = f"{HOST}:{port}"
    return _store("milvus", milvus_command(folder, port), address, answers_milvus(address))


def _stores(options: SystemOptions, system: RunningSystem) -> Iterator[Program]:
    if not options.redis:
        yield embedded_redis(options.folder.redis)
    if not options.milvus:
        yield embedded_milvus(options.folder.milvus, urlsplit(system.milvus).port or 0)


def _store(name: str, command: EmbeddedCommand, address: str, answers: Probe) -> Program:
    return Program(
        name=name,
        address=address,
        argv=command.argv,
        environment=command.environment,
        folder=command.folder,
        is_ready=answers,
        is_alive=answers,
        rank=_STORES,
    )


def _service(
    name: str, service: str, address: str, data: DataFolder, security: Security, **settings: object
) -> Program:
    is_encoder = service == "encoder"
    return Program(
        name=name,
        address=address,
        argv=(*_PYTHON, f"services.{service}"),
        environment=_environment(service, address=address, drain_s=1.5, **settings) | security.environment(),
        folder=data.path,
        is_ready=serves_grpc(address, "readiness", security),
        is_alive=serves_grpc(address, "liveness", security),
        rank=_ENCODERS if is_encoder else _SERVICES,
        stop_timeout_s=2.0 if is_encoder else 3.0,
        niceness=_INGEST_NICENESS if service == "ingest" else 0,
    )


def _gateway(data: DataFolder, system: RunningSystem, security: Security, **settings: object) -> Program:
    parts = urlsplit(system.gateway)
    addresses = {"host": parts.hostname, "port": parts.port, "search": system.search, "ingest": system.ingest}
    return Program(
        name="gateway",
        address=system.gateway,
        argv=(*_PYTHON, "gateway"),
        environment=_environment("gateway", drain_s=1, https="on", **addresses, **settings) | security.environment(),
        folder=data.path,
        is_ready=answers_http(f"{system.gateway}/readyz", "200", security),
        is_alive=answers_http(f"{system.gateway}/healthz", security=security),
        rank=_GATEWAY,
    )


def _environment(process: str, **settings: object) -> dict[str, str]:
    """Settings as the environment variables that the process reads; strings as they are, the rest as JSON."""
    return {
        f"FOVEA_{process}_{name}".upper(): value if isinstance(value, str) else json.dumps(value)
        for name, value in settings.items()
    }


def _port(port: int, flag: str, free: Iterator[int]) -> int:
    if not port:
        return next(free)
    require_free(port, flag)
    return port


def _socket_url(socket: Path) -> str:
    excess = len(os.fsencode(socket)) - _LONGEST_SOCKET_PATH
    if excess > 0:
        raise CommandFailed(
            f"the path of the data folder is {excess} bytes too long for the embedded Redis's socket {socket}: "
            "give a shorter one with --data"
        )
    return f"unix://{quote(str(socket))}"
