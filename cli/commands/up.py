"""`fovea up`: everything on this machine."""

import time
from pathlib import Path

from cli.answers import console, show, show_json
from cli.options import Data, EncoderPort, Json, Milvus, Models, Port, Redis, Roots, ServicePort, Shipped, wanted
from cli.system import System, run, started
from cli.wiring import Wanted

EXAMPLE = "Example: fovea up --port 9000 --models ~/bundles"


def up(
    *,
    data: Data = None,
    port: Port = 8080,
    models: Models = None,
    shipped: Shipped = True,
    root: Roots = None,
    milvus: Milvus = "",
    redis: Redis = "",
    search_port: ServicePort = 0,
    ingest_port: ServicePort = 0,
    encoder_port: EncoderPort = 0,
    as_json: Json = False,
) -> None:
    """Start everything on this machine and say where; Ctrl-C stops it."""
    asked = wanted(
        data=data,
        port=port,
        search_port=search_port,
        ingest_port=ingest_port,
        encoder_port=encoder_port,
        models=models,
        shipped=shipped,
        roots=root,
        milvus=milvus,
        redis=redis,
    )
    run(_up(asked, as_json=as_json))


async def _up(asked: Wanted, *, as_json: bool) -> None:
    started_s = time.monotonic()
    with console(stderr=True).status("starting …") as status:
        async with started(asked) as system:
            status.stop()
            if as_json:
                show_json(system.told())
            else:
                show_system(system, asked.data.logs, seconds=time.monotonic() - started_s)
            await system.until_stopped()
            console(stderr=True).print("stopping …")


def show_system(system: System, logs: Path, *, seconds: float) -> None:
    """Print the processes and the URL."""
    rows = [
        {"process": program.name, "address": program.address, "pid": system.supervisor.pids[program.name]}
        for program in system.programs
    ]
    show(rows, as_json=False)
    out = console()
    out.print(f"Ready after {seconds:.1f} s, logs in {logs}", markup=False)
    out.print(f"Fovea is at {system.running.gateway} (Ctrl-C stops it)", markup=False)
