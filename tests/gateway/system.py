"""A whole Fovea for the gateway's tests: encoders, search, ingest and the gateway as operators start them."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Any

import httpx

from tests.support.bundles import tiny_detector_bundle, tiny_image_bundle, tiny_text_bundle

REPOSITORY = Path(__file__).parents[2]
START_TIMEOUT_S = 180.0


@dataclass(frozen=True, slots=True)
class System:
    """Where the gateway and the ingest service answer, and the only folder that they read images from."""

    url: str
    root: Path
    ingest: str


@dataclass(frozen=True, slots=True)
class Server:
    """One process of Fovea, and where it listens."""

    address: str
    process: subprocess.Popen[bytes]


@contextmanager
def running_system(folder: Path, *, milvus_uri: str, redis_url: str) -> Iterator[System]:
    """Starts everything on free ports with tiny bundles; ends it with the block."""
    root = folder / "images"
    root.mkdir(parents=True)
    bundles = [
        tiny_image_bundle(folder / "tiny", modalities=("image", "sketch")),
        tiny_text_bundle(folder / "tiny_text"),
        tiny_detector_bundle(folder / "tiny_detector"),
    ]
    folders = {"roots": [str(root)], "uploads": str(folder / "uploads")}
    with ExitStack() as stack:

        def start(name: str, **settings: Any) -> str:
            return stack.enter_context(server_process(folder, name, **settings)).address

        encoder = start("encoder", bundles=[str(bundle.folder) for bundle in bundles], threads=1)
        stores = {"encoders": [encoder], "milvus_uri": milvus_uri, "redis_url": redis_url}
        search, ingest = start("search", **stores), start("ingest", **stores, **folders)
        gateway = start("gateway", port=0, search=search, ingest=ingest, encoders=[encoder], **folders)
        system = System(f"http://{gateway}", root, ingest)
        _wait_until_ready(system)
        yield system


@contextmanager
def server_process(folder: Path, name: str, **settings: Any) -> Iterator[Server]:
    """Starts one process of Fovea and ends it with the block; its log is `<folder>/<name>.log`."""
    module = name if name == "gateway" else f"services.{name}"
    variables = {
        f"FOVEA_{name}_{key}".upper(): value if isinstance(value, str) else json.dumps(value)
        for key, value in settings.items()
    }
    log = folder / f"{name}.log"
    with log.open("wb") as stream:
        process = subprocess.Popen(
            [sys.executable, "-m", module], cwd=REPOSITORY, env=os.environ | variables, stderr=stream
        )
    try:
        yield Server(f"127.0.0.1:{_port(process, log)}", process)
    finally:
        _end(process)


def _wait_until_ready(system: System) -> None:
    give_up_s = time.monotonic() + START_TIMEOUT_S
    while (answer := httpx.get(f"{system.url}/readyz")).status_code != HTTPStatus.OK:
        if time.monotonic() > give_up_s:
            message = f"the gateway does not become ready: {answer.text}"
            raise RuntimeError(message)
        time.sleep(0.1)


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(timeout=15)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _port(process: subprocess.Popen[bytes], log: Path) -> int:
    """The port that the process tells in its log once it listens."""
    give_up_s = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < give_up_s and process.poll() is None:
        for line in log.read_text(errors="replace").splitlines():
            if '"listening"' in line:
                return int(json.loads(line)["port"])
        time.sleep(0.02)
    message = f"{log.stem} did not start: {log.read_text(errors='replace')[-2000:]}"
    raise RuntimeError(message)
