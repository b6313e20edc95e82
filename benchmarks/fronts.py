"""Several fronts before one device that is never the limit: what is served, and what a call costs.

    python -m benchmarks.fronts [--fronts 1 2 4] [--pairs 3] [--seconds 5] [--callers 64] [--jpegs]

The device sleeps (`benchmarks.sleeping_device`), so the cores are for the fronts, the model process and the callers alone. All
numbers of fronts run in turn; 1 is the encoder in one process. Prints a table of medians: `served` is the part of the device's
20,000 items a second, `a core` the calls for each second of processor time that the fronts took.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from benchmarks.encoder import encode_requests, infer_request
from benchmarks.load import write_requests
from benchmarks.measure import disturbance
from benchmarks.photos import photos
from benchmarks.servers import ROOT, EncoderProcess, encoder
from benchmarks.sleeping_device import ITEMS_PER_S
from encoders.bundle import Bundle

_INFER = "/inference.GRPCInferenceService/ModelInfer"
_ENCODE = "/fovea.encoder.v1.EncoderService/Encode"
_WARM_S = 1.0
_LOADS = 2
_CONNECTIONS = 8
_TICK_S = 1 / os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class FrontFigures:
    """Calls a second, milliseconds, and seconds of processor time for each second: of all fronts, and of the model process."""

    per_s: float
    p50_ms: float
    p99_ms: float
    front_cores: float
    model_cores: float


def measured(
    process: EncoderProcess, fronts: int, method: str, requests: Path, arguments: argparse.Namespace
) -> FrontFigures:
    """Load from processes of their own, each over several connections."""
    command = [sys.executable, "-m", "benchmarks.load", process.target, method, str(requests), "--warm", str(_WARM_S)]
    command += ["--seconds", str(arguments.seconds), "--callers", str(arguments.callers // _LOADS)]
    command += ["--connections", str(_CONNECTIONS)]
    loads = [subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE) for _ in range(_LOADS)]
    time.sleep(2 * _WARM_S)
    started_s, before = time.perf_counter(), dict(_processor_s(process.pid))
    time.sleep(arguments.seconds - _WARM_S)
    took_s, after = time.perf_counter() - started_s, dict(_processor_s(process.pid))
    figures = [json.loads(load.communicate()[0]) for load in loads]
    if any(each["errors"] for each in figures):
        raise RuntimeError(f"calls failed: {[each['errors'] for each in figures]}")
    cores = {kind: (after[kind] - before[kind]) / took_s for kind in after}
    return FrontFigures(
        sum(each["calls"] / each["seconds"] for each in figures),
        max(each["p50_ms"] for each in figures),
        max(each["p99_ms"] for each in figures),
        cores["front"] if fronts > 1 else cores["alone"],
        cores["model"],
    )


def _processor_s(pid: int) -> Iterator[tuple[str, float]]:
    """Processor time by what the processes are: one that is alone, or a parent's fronts and its model process."""
    seconds = {"alone": _own_s(pid), "front": 0.0, "model": 0.0}
    for child in map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split()):
        command = Path(f"/proc/{child}/cmdline").read_text()
        seconds["front" if "fronts.front" in command else "model"] += _own_s(child)
    yield from seconds.items()


def _own_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) * _TICK_S


def row(fronts: int, found: list[FrontFigures]) -> str:
    """One line of the table: medians of the pairs."""
    per_s, p50_ms, p99_ms, front_cores, model_cores = (
        median(getattr(each, name) for each in found) for name in FrontFigures.__slots__
    )
    cells = [
        f"{fronts}",
        f"{per_s:,.0f}",
        f"{per_s / ITEMS_PER_S:.3f}",
        f"{p50_ms:.1f}",
        f"{p99_ms:.1f}",
        f"{front_cores:.2f}",
        f"{model_cores:.2f}",
        f"{per_s / front_cores:,.0f}",
    ]
    return f"| {' | '.join(cells)} |"


def main() -> None:
    """Reads the command line, measures in turn, and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bundle", type=Path, default=ROOT / "models" / "general-2")
    parser.add_argument("--fronts", type=int, nargs="+", default=[1, 2, 4])
    parser.add_argument("--pairs", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--callers", type=int, default=64)
    parser.add_argument("--jpegs", action="store_true", help="send photos, which the fronts decode, not tensors")
    arguments = parser.parse_args()
    bundle = Bundle.load(arguments.bundle)
    found: dict[int, list[FrontFigures]] = {fronts: [] for fronts in arguments.fronts}
    with tempfile.TemporaryDirectory(prefix="fovea-bench-") as folder, disturbance() as disturbed:
        requests = Path(folder) / "requests"
        sent = (
            encode_requests(bundle, photos(16, Path(folder) / "photos")) if arguments.jpegs else [infer_request(bundle)]
        )
        write_requests(requests, sent)
        for _ in range(arguments.pairs):
            for fronts in arguments.fronts:
                settings = {"FRONTS": str(fronts), "MAX_IN_FLIGHT": "512", "QUEUE_LIMIT": "1024"}
                with encoder(
                    bundle.folder, threads=1, settings=settings, module="benchmarks.sleeping_device"
                ) as process:
                    method = _ENCODE if arguments.jpegs else _INFER
                    found[fronts].append(measured(process, fronts, method, requests, arguments))
    print(
        "| fronts | calls a second | served | p50 ms | p99 ms | cores of fronts | of the model process | calls a core |"
    )
    print("|---|---|---|---|---|---|---|---|")
    for fronts, figures in found.items():
        print(row(fronts, figures))
    print(f"\ndisturbance {disturbed.share:.2f}, {os.cpu_count()} cores")


if __name__ == "__main__":
    main()
