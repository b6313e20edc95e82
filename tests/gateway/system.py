"""A whole Fovea for the gateway's tests: encoders, search, ingest and the gateway as operators start them."""

import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Any

import httpx

from tests.support.bundles import tiny_detector_bundle, tiny_image_bundle, tiny_text_bundle
from tests.support.processes import START_TIMEOUT_S, server_process


@dataclass(frozen=True, slots=True)
class System:
    """Where each process answers, and the only folder that images are read from."""

    url: str
    root: Path
    search: str
    ingest: str
    encoder: str


@contextmanager
def running_system(folder: Path, *, milvus_uri: str, redis_url: str) -> Iterator[System]:
    """Starts everything on free ports with tiny bundles; ends it with the block."""
    root = folder / "images"
    root.mkdir(parents=True)
    bundles = [
        tiny_image_bundle(folder / "another", "another"),
        tiny_image_bundle(
            folder / "tiny",
            modalities=("image", "sketch"),
            is_default=True,
            purpose="Finds images of the same colours.",
            domain="coloured blocks",
        ),
        tiny_image_bundle(folder / "former", "former", seed=8),
        tiny_text_bundle(folder / "tiny_text", languages=("en",)),
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
        system = System(f"http://{gateway}", root, search, ingest, encoder)
        _wait_until_ready(system)
        yield system


def _wait_until_ready(system: System) -> None:
    give_up_s = time.monotonic() + START_TIMEOUT_S
    while (answer := httpx.get(f"{system.url}/readyz")).status_code != HTTPStatus.OK:
        if time.monotonic() > give_up_s:
            message = f"the gateway does not become ready: {answer.text}"
            raise RuntimeError(message)
        time.sleep(0.1)
