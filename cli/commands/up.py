"""`fovea up`: everything on this machine, started, answering, and stopped at the end."""

import asyncio
import signal
import time
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer

from cli.bundles import bundle_sources, default_bundles, find_bundles
from cli.child_process import end_left_behind
from cli.connections import own_security
from cli.data_folder import DataFolder, RunningSystem
from cli.errors import CommandFailed, cancelled_by_signals
from cli.milvus_file import prepare_milvus_file
from cli.options import Json, Port, SystemOptions, expand_options
from cli.output import console, note, show, show_json
from cli.probes import accepts_connections, answers_redis
from cli.programs import assign_addresses, encoder_processes, programs
from cli.supervisor import Supervisor
from domain.store_urls import StoreUrl, without_secrets

app = typer.Typer(add_completion=False)

_DEFAULT_PORTS = {"https": 443}
_DEFAULT_PORTS |= {f"{scheme}{kind}": 6379 for scheme in ("redis", "rediss") for kind in ("", "+cluster")}
_DEFAULT_PORTS |= {f"{scheme}+sentinel": 26379 for scheme in ("redis", "rediss")}
_MILVUS_PORT = 19530


@app.command(epilog="Example: fovea up --port 9000 --models ~/bundles")
@expand_options
def up(
    *,
    options: SystemOptions,
    port: Port = 8080,
    shipped: Annotated[
        bool, typer.Option("--shipped/--no-shipped", help="Serve the models that ship with Fovea.")
    ] = True,
    as_json: Json = False,
) -> None:
    """Start everything on this machine and say where; Ctrl-C stops it."""
    run_until_stopped(_up(options, port=port, shipped=shipped, as_json=as_json))


async def _up(options: SystemOptions, *, port: int, shipped: bool, as_json: bool) -> None:
    started_s = time.monotonic()
    with console(stderr=True).status("starting …") as status:
        async with started(options, port=port, shipped=shipped) as (system, supervisor):
            status.stop()
            if as_json:
                show_json(system.as_json())
            else:
                show_system(system, supervisor, seconds=time.monotonic() - started_s)
            await supervisor.until_cancelled()
            console(stderr=True).print("stopping …")


@asynccontextmanager
async def started(
    options: SystemOptions, *, port: int, shipped: bool = True
) -> AsyncIterator[tuple[RunningSystem, Supervisor]]:
    """Start everything, and stop it when the block is left; CommandFailed when it cannot start.

    The first Ctrl-C, SIGTERM or SIGHUP cancels the task inside the block; a second one kills what is still stopping.
    """
    data = options.folder
    data.make()
    with data.locked():
        bundles = find_bundles(bundle_sources(data, options.models, shipped=shipped))
        if not bundles:
            raise CommandFailed(
                "there is no model to serve: import one with `fovea models import`, or name one with --models"
            )
        for default in default_bundles(bundles):
            claims = [each.name for each in bundles if each.is_default and each.is_detector == default.is_detector]
            if len(claims) > 1:
                note(f"note: {', '.join(claims)} all say that they are the default: {default.name} is used")
        # Not refused: the folder may be on a disk that is mounted later.
        for root in (root for root in options.roots if not root.is_dir()):
            note(f"note: {root} is not a folder now: no image below it can be read or shown (--root)")
        await _clean_up_after_former(data)
        await _require_stores(options)
        if not options.milvus:
            await asyncio.to_thread(prepare_milvus_file, data.milvus / "milvus.db", note)
        processes = encoder_processes(options, bundles)
        security = own_security()
        if security.serves_tls and not security.calls_over_tls:
            raise CommandFailed(
                "with FOVEA_TLS_CERTIFICATE the processes call each other over TLS: set FOVEA_TLS_CA too"
            )
        system = assign_addresses(options, port, processes, security)

        async def publish() -> None:
            replace(system, pids=supervisor.pids).write(data)

        supervisor = Supervisor(programs(options, processes, system, security), data, say=note, restarted=publish)
        try:
            with cancelled_by_signals(on_repeat=supervisor.kill):
                async with supervisor:
                    await publish()
                    yield replace(system, pids=supervisor.pids), supervisor
                    # Removed before anything stops, so that no command calls a system that is closing.
                    data.run_file.unlink(missing_ok=True)
        finally:
            data.run_file.unlink(missing_ok=True)


def run_until_stopped(main: Coroutine[Any, Any, None]) -> None:
    """Run a command's coroutine; being stopped before the system answers exits as Ctrl-C does."""
    try:
        asyncio.run(main)
    except asyncio.CancelledError as error:
        raise typer.Exit(128 + signal.SIGINT) from error


def show_system(system: RunningSystem, supervisor: Supervisor, *, seconds: float) -> None:
    """Print the processes and the URL."""
    show(
        [{"process": each.name, "address": each.address, "pid": system.pids[each.name]} for each in supervisor.programs]
    )
    out = console()
    out.print(f"Ready after {seconds:.1f} s, logs in {supervisor.data.logs}", markup=False)
    out.print(f"Fovea is at {system.gateway} (Ctrl-C stops it)", markup=False)


async def _clean_up_after_former(data: DataFolder) -> None:
    if ended := await asyncio.to_thread(end_left_behind, data):
        note(f"ended {ended} processes that a former `fovea up` left behind")
    data.run_file.unlink(missing_ok=True)
    for log in data.logs.glob("*.log"):
        log.replace(log.with_suffix(".log.old"))


async def _require_stores(options: SystemOptions) -> None:
    for url, flag in ((options.milvus, "--milvus"), (options.redis, "--redis")):
        if url and not await _listens(url):
            raise CommandFailed(f"nothing answers at {without_secrets(url)}: start it, or correct {flag}")


async def _listens(url: str) -> bool:
    """Whether anything listens at one of the addresses of a URL."""
    try:
        parts = StoreUrl.parse(url)
    except ValueError:
        return False
    if parts.scheme == "unix":
        return await answers_redis(Path(parts.path))()
    default = _DEFAULT_PORTS.get(parts.scheme, _MILVUS_PORT)
    tried = [accepts_connections(host, port or default) for host, port in parts.addresses]
    return any(await asyncio.gather(*tried))
