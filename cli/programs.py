"""The parts list of a system on one machine: which programs it consists of, and what each is told."""

import json
import sys
from collections.abc import Mapping
from pathlib import Path

from cli.child import Program
from cli.embedded import EmbeddedCommand, milvus_command, redis_command, redis_socket
from cli.ports import HOST
from cli.probes import Probe, answers_http, answers_milvus, answers_redis, serves_grpc, serves_http
from cli.wiring import Wiring

# Who stops first, and how long each rank may take: together less than 10 s.
_GATEWAY, _SERVICES, _ENCODERS, _STORES = 3, 2, 1, 0
_PATIENCE_S = {_GATEWAY: 2.0, _SERVICES: 3.0, _ENCODERS: 2.0, _STORES: 2.0}


def programs(wiring: Wiring) -> list[Program]:
    """Every program of the system, in the order in which they are started."""
    return [*_stores(wiring), *_encoders(wiring), _search(wiring), _ingest(wiring), _gateway(wiring)]


def embedded_redis(folder: Path) -> Program:
    """The Redis that Fovea brings along."""
    socket = redis_socket(folder)
    return _store("redis", redis_command(folder), f"unix:{socket}", answers_redis(socket))


def embedded_milvus(folder: Path, port: int) -> Program:
    """The Milvus that Fovea brings along."""
    address = f"{HOST}:{port}"
    return _store("milvus", milvus_command(folder, port), address, answers_milvus(address))


def _stores(wiring: Wiring) -> list[Program]:
    data, found = wiring.data, []
    if wiring.has_redis:
        found.append(embedded_redis(data.redis))
    if wiring.milvus_port is not None:
        found.append(embedded_milvus(data.milvus, wiring.milvus_port))
    return found


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
        patience_s=_PATIENCE_S[_STORES],
    )


def _encoders(wiring: Wiring) -> list[Program]:
    return [
        _service(
            wiring,
            f"encoder-{bundle.name}",
            "encoder",
            address=wiring.running.encoders[bundle.name],
            rank=_ENCODERS,
            told={"bundles": [str(bundle.folder)]},
        )
        for bundle in wiring.bundles
    ]


def _search(wiring: Wiring) -> Program:
    told = {
        "encoders": list(wiring.running.encoders.values()),
        "milvus_uri": wiring.milvus_url,
        "redis_url": wiring.redis_url,
    }
    return _service(wiring, "search", "search", address=wiring.running.search, rank=_SERVICES, told=told)


def _ingest(wiring: Wiring) -> Program:
    told = {
        "encoders": list(wiring.running.encoders.values()),
        "milvus_uri": wiring.milvus_url,
        "redis_url": wiring.redis_url,
        "roots": [str(root) for root in wiring.roots],
        "uploads": str(wiring.data.uploads),
    }
    return _service(wiring, "ingest", "ingest", address=wiring.running.ingest, rank=_SERVICES, told=told)


def _service(
    wiring: Wiring, name: str, service: str, *, address: str, rank: int, told: Mapping[str, object]
) -> Program:
    return Program(
        name=name,
        address=address,
        argv=_python(f"services.{service}"),
        environment=_settings(service, {"address": address, "drain_s": 1.5, **told}),
        folder=wiring.data.path,
        is_ready=serves_grpc(address, "readiness"),
        is_alive=serves_grpc(address, "liveness"),
        rank=rank,
        patience_s=_PATIENCE_S[rank],
    )


def _gateway(wiring: Wiring) -> Program:
    running = wiring.running
    told = {
        "host": HOST,
        "port": int(running.gateway.rpartition(":")[2]),
        "search": running.search,
        "ingest": running.ingest,
        "encoders": list(wiring.running.encoders.values()),
        "roots": [str(root) for root in wiring.roots],
        "uploads": str(wiring.data.uploads),
        "drain_s": 1,
    }
    return Program(
        name="gateway",
        address=running.gateway,
        argv=_python("gateway"),
        environment=_settings("gateway", told),
        folder=wiring.data.path,
        is_ready=serves_http(f"{running.gateway}/readyz"),
        is_alive=answers_http(f"{running.gateway}/healthz"),
        rank=_GATEWAY,
        patience_s=_PATIENCE_S[_GATEWAY],
    )


def _python(module: str) -> tuple[str, ...]:
    # -P: the folder that the process starts in must not shadow a package.
    return (sys.executable, "-P", "-m", module)


def _settings(process: str, told: Mapping[str, object]) -> dict[str, str]:
    """Settings as the environment variables that the process reads; strings as they are, the rest as JSON."""
    return {
        f"FOVEA_{process}_{name}".upper(): value if isinstance(value, str) else json.dumps(value)
        for name, value in told.items()
    }
