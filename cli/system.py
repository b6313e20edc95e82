"""A whole system on this machine: started, answering, and stopped with the block that uses it."""

import asyncio
import contextlib
import signal
from collections.abc import AsyncIterator, Coroutine, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import typer

from cli.answers import note
from cli.bundles import SHIPPED, find_bundles
from cli.child import Program
from cli.data_folder import DataFolder
from cli.failure import CommandFailed
from cli.interruption import stopped_by_signals
from cli.orphans import end_orphans
from cli.probes import accepts_connections, answers_redis
from cli.programs import programs
from cli.running import Running, without_password
from cli.supervisor import Supervisor
from cli.wiring import Wanted, wire
from encoders.bundle import Bundle

_DEFAULT_PORTS = {"redis": 6379, "rediss": 6379, "https": 443}
_MILVUS_PORT = 19530


@dataclass(frozen=True, slots=True)
class System:
    """A system that answers."""

    running: Running
    programs: Sequence[Program]
    supervisor: Supervisor

    def told(self) -> dict[str, Any]:
        """What `run.json` says."""
        return asdict(replace(self.running, pids=self.supervisor.pids))

    async def until_stopped(self) -> None:
        """Wait for Ctrl-C, SIGTERM or a hang-up."""
        with contextlib.suppress(asyncio.CancelledError):
            await self.supervisor.forever()


@asynccontextmanager
async def started(wanted: Wanted) -> AsyncIterator[System]:
    """Start everything, and stop it when the block is left; CommandFailed when it cannot start.

    Signals that ask to stop cancel the task inside the block; a second one kills what is still stopping.
    """
    data = wanted.data
    data.make()
    with data.locked():
        bundles = _bundles(wanted)
        _note_missing(wanted.roots)
        await _clean_up_after_former(data)
        await _require_stores(wanted)
        wiring = wire(wanted, bundles)
        parts = programs(wiring)

        async def tell() -> None:
            replace(wiring.running, pids=supervisor.pids).write(data)

        supervisor = Supervisor(parts, data, say=note, changed=tell)
        try:
            with stopped_by_signals(again=supervisor.kill):
                async with supervisor:
                    await tell()
                    yield System(wiring.running, parts, supervisor)
                    # Gone before anything stops, so that nobody is sent to a closing door.
                    data.run_file.unlink(missing_ok=True)
        finally:
            data.run_file.unlink(missing_ok=True)


def run(main: Coroutine[Any, Any, None]) -> None:
    """Run a command's coroutine; being stopped early exits as Ctrl-C does."""
    try:
        asyncio.run(main)
    except asyncio.CancelledError as error:
        raise typer.Exit(128 + signal.SIGINT) from error


def _bundles(wanted: Wanted) -> Sequence[Bundle]:
    shipped = [SHIPPED] if wanted.shipped and SHIPPED.is_dir() else []
    bundles = find_bundles([*shipped, wanted.data.models, *wanted.models])
    if not bundles:
        raise CommandFailed(
            "there is no model to serve: import one with `fovea models import`, or name one with --models"
        )
    return bundles


def _note_missing(roots: Sequence[Path]) -> None:
    # Not refused: the folder may be on a disk that is mounted later.
    for root in roots:
        if not root.is_dir():
            note(f"note: {root} is not a folder now: no image below it can be read or shown (--root)")


async def _clean_up_after_former(data: DataFolder) -> None:
    if ended := await asyncio.to_thread(end_orphans, data):
        note(f"ended {ended} processes that a former `fovea up` left behind")
    data.run_file.unlink(missing_ok=True)
    for log in data.logs.glob("*.log"):
        log.replace(log.with_suffix(".log.old"))


async def _require_stores(wanted: Wanted) -> None:
    for url, flag in ((wanted.milvus, "--milvus"), (wanted.redis, "--redis")):
        if url and not await _listens(url):
            raise CommandFailed(f"nothing answers at {without_password(url)}: start it, or mend {flag}")


async def _listens(url: str) -> bool:
    parts = urlsplit(url)
    if parts.scheme == "unix":
        return await answers_redis(Path(unquote(parts.path)))()
    port = parts.port or _DEFAULT_PORTS.get(parts.scheme, _MILVUS_PORT)
    return bool(parts.hostname) and await accepts_connections(parts.hostname or "", port)
