"""Interactive calls beside bulk: what two a second wait alone and beside a stream that keeps the model busy.

    python -m benchmarks.lanes [--bundles models/general-2 models/detector] [--pairs 3] [--seconds 20]

One encoder process for each bundle. Bulk is what one ingest stream sends: three calls of 64 images to an encoder,
sixteen of one image to a detector. Interactive alone, bulk alone and both run in turn; ratios are medians of the pairs.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.load import write_requests
from benchmarks.measure import disturbance, median_ratio
from benchmarks.photos import photos
from benchmarks.servers import ROOT, encoder
from encoders.bundle import Bundle
from fovea.detector.v1 import detector_pb2
from fovea.encoder.v1 import encoder_pb2

_ENCODE = "/fovea.encoder.v1.EncoderService/Encode"
_DETECT = "/fovea.detector.v1.DetectorService/Detect"
_IMAGES = 192
_EVERY_S = 0.5


@dataclass(frozen=True, slots=True)
class Load:
    """What is sent: requests of `items` images each, by so many callers, each every so many seconds."""

    target: str
    method: str
    requests: Path
    items: int
    callers: int
    every_s: float
    priority: str

    def start(self, seconds: float) -> "subprocess.Popen[bytes]":
        """Runs in a process of its own."""
        command = [sys.executable, "-m", "benchmarks.load", self.target, self.method, str(self.requests)]
        options = {"callers": self.callers, "seconds": seconds, "every": self.every_s, "priority": self.priority}
        arguments = [text for name, value in options.items() for text in (f"--{name}", str(value))]
        return subprocess.Popen([*command, *arguments], cwd=ROOT, stdout=subprocess.PIPE)

    def per_s(self, figures: dict[str, Any]) -> float:
        """Images a second."""
        return float(figures["calls"] * self.items / figures["seconds"])


@dataclass(frozen=True, slots=True)
class Pair:
    """What one round of the three measurements said."""

    alone: dict[str, Any]
    beside: dict[str, Any]
    bulk_per_s: float
    together_per_s: float


def measure_lanes(bundle: Path, folder: Path, *, pairs: int, seconds: float) -> list[Pair]:
    """Runs the three measurements in turn against one process."""
    with encoder(bundle, threads=0) as process:
        interactive, bulk = _loads(Bundle.load(bundle), process.target, folder)
        _run([interactive, bulk], 4 * _EVERY_S)
        return [_pair(interactive, bulk, seconds) for _ in range(pairs)]


def _loads(bundle: Bundle, target: str, folder: Path) -> tuple[Load, Load]:
    images = [path.read_bytes() for path in photos(_IMAGES, folder / "photos")]
    one, many = folder / "one.requests", folder / "many.requests"
    if bundle.kind == "detector":
        write_requests(one, [detector_pb2.DetectRequest(image=image).SerializeToString() for image in images])
        return (
            Load(target, _DETECT, one, 1, 1, _EVERY_S, "interactive"),
            Load(target, _DETECT, one, 1, 16, 0.0, "bulk"),
        )
    inputs = [encoder_pb2.Input(image=image) for image in images]
    write_requests(one, [encoder_pb2.EncodeRequest(inputs=[item]).SerializeToString() for item in inputs])
    calls = [encoder_pb2.EncodeRequest(inputs=inputs[start : start + 64]) for start in range(0, _IMAGES, 64)]
    write_requests(many, [call.SerializeToString() for call in calls])
    return Load(target, _ENCODE, one, 1, 1, _EVERY_S, "interactive"), Load(target, _ENCODE, many, 64, 3, 0.0, "bulk")


def _pair(interactive: Load, bulk: Load, seconds: float) -> Pair:
    (alone,) = _run([interactive], seconds)
    (busy,) = _run([bulk], seconds)
    beside, shared = _run([interactive, bulk], seconds)
    return Pair(alone, beside, bulk.per_s(busy), bulk.per_s(shared) + interactive.per_s(beside))


def _run(loads: list[Load], seconds: float) -> list[dict[str, Any]]:
    """Runs loads at once; what each of them saw."""
    running = [load.start(seconds) for load in loads]
    figures = [json.loads(process.communicate()[0]) for process in running]
    for figure in figures:
        if figure["errors"]:
            raise RuntimeError(f"calls failed: {figure['errors']}")
    return figures


def main() -> None:
    """Reads the command line, measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    defaults = [ROOT / "models" / "general-2", ROOT / "models" / "detector"]
    parser.add_argument("--bundles", type=Path, nargs="+", default=defaults)
    parser.add_argument("--pairs", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=20.0)
    arguments = parser.parse_args()
    for bundle in arguments.bundles:
        with tempfile.TemporaryDirectory(prefix="fovea-lanes-") as folder, disturbance() as disturbed:
            pairs = measure_lanes(bundle, Path(folder), pairs=arguments.pairs, seconds=arguments.seconds)
        for name in ("p50_ms", "p99_ms"):
            ratio = median_ratio([(pair.beside[name], pair.alone[name]) for pair in pairs])
            alone, beside = (median(side[name] for side in sides) for sides in _sides(pairs))
            print(
                f"{bundle.name:10} interactive {name[:3]} {alone:6.1f} ms alone, {beside:6.1f} ms beside: {ratio:.2f}"
            )
        share = median_ratio([(pair.together_per_s, pair.bulk_per_s) for pair in pairs])
        bulk_per_s = median(pair.bulk_per_s for pair in pairs)
        print(
            f"{bundle.name:10} {bulk_per_s:.1f}/s bulk alone, together {share:.2f} of it; {disturbed.share:.0%} disturbed"
        )


def _sides(pairs: list[Pair]) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    return [pair.alone for pair in pairs], [pair.beside for pair in pairs]


if __name__ == "__main__":
    main()
