"""Mixed ingest beside searches: every item makes progress, everything is kept, and searches stay fast.

    python -m benchmarks.mixed [--minutes 30] [--images FOLDER]

Images by bytes, by path and by upload, the same ones again, and deletions, all at once, while somebody searches twice a
second; before that, the same searches on a quiet system. Writes docs/results/mixed.json. Exits 1 when an item failed,
when something acknowledged was lost or a deletion undone, or when the searches' p99 is over 3 times the quiet one.
"""

import argparse
import asyncio
import json
import os
import random
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import grpc
import httpx

from benchmarks.ledger import Ledger
from benchmarks.measure import disturbance
from benchmarks.photos import photos
from benchmarks.probe import Probe, Searches, own_process
from benchmarks.servers import ROOT, system
from benchmarks.writers import COLLECTION, Images, Writers
from fovea.ingest.v1 import ingest_pb2, ingest_pb2_grpc
from fovea.search.v1 import search_pb2, search_pb2_grpc

if TYPE_CHECKING:
    from fovea.ingest.v1.ingest_pb2_grpc import IngestServiceAsyncStub
    from fovea.search.v1.search_pb2_grpc import SearchServiceAsyncStub

MOST_OVER_QUIET = 3.0
_RESULTS = ROOT / "docs" / "results" / "mixed.json"
_ENCODER = "scene"
_TEXTS = ["a yellow boat to the right of a grey cat", "a green tree and a grey dog in a meadow", "two pink bicycles"]
_OPTIONS = [("grpc.enable_http_proxy", 0), ("grpc.max_receive_message_length", 64 << 20)]

_DIFFERENT = 300
_QUERIES = 50
_SEARCHED_AFTERWARDS = 50
_CALLERS_NICENESS = 10


async def stored_sha256s(stub: "IngestServiceAsyncStub") -> dict[str, str]:
    """The SHA-256 of everything that the collection lists, by uri."""
    stored: dict[str, str] = {}
    token = ""
    while True:
        request = ingest_pb2.ListImagesRequest(collection=COLLECTION, page_size=1000, page_token=token)
        page = await stub.ListImages(request, timeout=60)
        stored |= {image.uri: image.sha256 for image in page.images}
        token = page.next_page_token
        if not token:
            return stored


async def not_found(stub: "SearchServiceAsyncStub", images: Images, ledger: Ledger) -> list[str]:
    """Of some live images those that a search for themselves does not find, and deleted ones that it does."""
    wrong: set[str] = set()
    for uri in random.sample(sorted(ledger.live), min(_SEARCHED_AFTERWARDS, len(ledger.live))):
        part = search_pb2.QueryPart(image=images.of(ledger.live[uri]))
        request = search_pb2.SearchRequest(
            collection=COLLECTION, parts=[part], limit=1000, exact=True, fold_copies=False
        )
        found = {hit.uri for hit in (await stub.Search(request, timeout=60)).hits}
        wrong |= (found & ledger.deleted) | ({uri} - found)
    return sorted(wrong)


async def measure(run: dict[str, Any], images: Images, root: Path, minutes: float) -> dict[str, Any]:
    """All figures by name."""
    ledger = Ledger()
    queries = [images.of(number) for number in range(_QUERIES)]
    probe = Probe(run["search"], COLLECTION, queries, _TEXTS if "scene-text" in run["encoders"] else [])
    loop = asyncio.get_running_loop()
    async with (
        grpc.aio.insecure_channel(run["ingest"], options=_OPTIONS) as channel,
        grpc.aio.insecure_channel(run["search"], options=_OPTIONS) as search,
        httpx.AsyncClient(base_url=run["gateway"], timeout=300, trust_env=False) as http,
    ):
        stub = ingest_pb2_grpc.IngestServiceStub(channel)
        collection = ingest_pb2.Collection(name=COLLECTION, encoder=_ENCODER)
        await stub.CreateCollection(ingest_pb2.CreateCollectionRequest(collection=collection))
        writers = Writers(stub, http, images, root, ledger)
        await writers.fill()
        with own_process() as process:
            quiet = await loop.run_in_executor(process, probe.run, max(20.0, 10 * minutes))
            # The writers stand for callers on other machines, so they do not compete with the system for its cores.
            os.nice(_CALLERS_NICENESS)
            probing = loop.run_in_executor(process, probe.run, 60 * minutes)
            await writers.run(60 * minutes)
            mixed = await probing
        stored = await stored_sha256s(stub)
        sha256s = {number: images.sha256_of(number) for number in set(ledger.live.values())}
        return _figures(ledger, quiet, mixed, minutes) | {
            "lost": len(ledger.lost(stored, sha256s)),
            "risen": len(ledger.risen(stored)),
            "not_found": len(await not_found(search_pb2_grpc.SearchServiceStub(search), images, ledger)),
        }


def _figures(ledger: Ledger, quiet: Searches, mixed: Searches, minutes: float) -> dict[str, Any]:
    items = sum(number for name, number in ledger.acknowledged.items() if not name.startswith(("base", "deleted")))
    return {
        "p99_over_quiet": round(mixed.latency("image").p99_ms / quiet.latency("image").p99_ms, 2),
        "quiet": quiet.summary(),
        "mixed": mixed.summary(),
        "items_per_s": round(items / (60 * minutes), 1),
        "acknowledged": dict(sorted(ledger.acknowledged.items())),
        "failures": dict(sorted(ledger.failures.items())),
        "live": len(ledger.live),
        "deleted": len(ledger.deleted),
    }


def is_good(figures: dict[str, Any]) -> bool:
    """Whether every goal is reached."""
    clean = not (figures["failures"] or figures["lost"] or figures["risen"] or figures["not_found"])
    return clean and not figures["mixed"]["errors"] and figures["p99_over_quiet"] <= MOST_OVER_QUIET


def _files(folder: Path | None, scratch: Path) -> Iterator[bytes]:
    found = sorted(folder.rglob("*.jpg"))[:_DIFFERENT] if folder else photos(_DIFFERENT, scratch)
    return (path.read_bytes() for path in found)


def main() -> int:
    """Reads the command line, measures, prints and writes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--images", type=Path, help="a folder of JPEGs; default: the photos of the other benchmarks")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="fovea-mixed-") as name, disturbance() as disturbed:
        folder, root = Path(name), Path(name) / "root"
        root.mkdir()
        images = Images([*_files(arguments.images, folder / "photos")])
        with system(folder / "data", root=root) as run:
            figures = asyncio.run(measure(run, images, root.resolve(), arguments.minutes))
    figures |= {
        "command": f"python -m benchmarks.mixed --minutes {arguments.minutes:g}",
        "disturbance": round(disturbed.share, 4),
        "cores": os.cpu_count(),
    }
    print(json.dumps(figures, indent=2))
    _RESULTS.write_text(json.dumps(figures, indent=2) + "\n")
    return 0 if is_good(figures) else 1


if __name__ == "__main__":
    sys.exit(main())
