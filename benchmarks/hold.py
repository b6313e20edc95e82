"""Does search hold? 32 callers for a minute on the real Milvus server, then ten times as many as it takes.

    python -m benchmarks.hold [--seconds 60]

Prints what the callers saw and each process's memory before and after; exits 1 when a call of the 32 failed.
"""

import argparse
import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.load import write_requests
from benchmarks.photos import photos
from benchmarks.search import fill
from benchmarks.servers import ROOT, system
from fovea.search.v1 import search_pb2
from testbed.servers import milvus_standalone_server

_COLLECTION = "bench_hold"
_METHOD = "/fovea.search.v1.SearchService/Search"
_CALLERS = 32
_TOO_MANY = 320
_OVERLOAD_S = 10.0


def hold(run: dict[str, Any], folder: Path, *, seconds: float) -> bool:
    """Runs both loads and prints them; whether the 32 callers saw no error."""
    images = photos(300, folder / "photos")
    fill(run["ingest"], _COLLECTION, images, encoder="general")
    queries = [search_pb2.QueryPart(image=image.read_bytes()) for image in images]
    requests = [search_pb2.SearchRequest(collection=_COLLECTION, parts=[part]) for part in queries]
    write_requests(folder / "search.requests", [request.SerializeToString() for request in requests])
    _load(run, folder, callers=_CALLERS, seconds=10.0)
    before = _memory_mib(run)
    held = _load(run, folder, callers=_CALLERS, seconds=seconds)
    after = _memory_mib(run)
    overload = _load(run, folder, callers=_TOO_MANY, seconds=_OVERLOAD_S)
    print(f"{_CALLERS} callers: {json.dumps(held)}")
    print(f"{_TOO_MANY} callers: {json.dumps(overload)}")
    for name, mib in before.items():
        print(f"{name:20} {mib:5.0f} MiB before, {after[name]:5.0f} MiB after")
    return not held["errors"]


def _load(run: dict[str, Any], folder: Path, *, callers: int, seconds: float) -> dict[str, Any]:
    command = [sys.executable, "-m", "benchmarks.load", run["search"], _METHOD, str(folder / "search.requests")]
    arguments = ["--callers", str(callers), "--seconds", str(seconds)]
    output = subprocess.run([*command, *arguments], cwd=ROOT, check=True, capture_output=True).stdout
    return dict(json.loads(output))


def _memory_mib(run: dict[str, Any]) -> dict[str, float]:
    """Resident memory of each process of Fovea."""
    memory = {}
    for name, pid in run["pids"].items():
        found = re.search(r"VmRSS:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
        assert found is not None, "Linux tells a process's memory"
        memory[name] = int(found[1]) / 1024
    return memory


def main() -> int:
    """Reads the command line and runs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=60.0)
    arguments = parser.parse_args()
    with (
        tempfile.TemporaryDirectory(prefix="fovea-hold-") as folder,
        milvus_standalone_server() as milvus_uri,
        system(Path(folder) / "data", milvus_uri=milvus_uri) as run,
    ):
        return 0 if hold(run, Path(folder), seconds=arguments.seconds) else 1


if __name__ == "__main__":
    sys.exit(main())
