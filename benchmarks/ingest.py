"""Ingest beside bare decoding and encoding of the same photos."""

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.measure import median_ratio
from benchmarks.search import fill
from benchmarks.servers import ROOT


@dataclass(frozen=True, slots=True)
class IngestFigures:
    """`ingest_over_raw` is a ratio of photos a second."""

    ingest_over_raw: float
    ingest_per_s: float
    raw_per_s: float


def measure_ingest(run: dict[str, Any], photos: list[Path], bundle: Path, folder: Path, *, pairs: int) -> IngestFigures:
    """Ingests the photos into a new collection and runs the bare loop over them, in turn."""
    listed = folder / "photos.txt"
    listed.write_text("\n".join(map(str, photos)))
    rates = []
    for number in range(pairs):
        took_s = fill(run["ingest"], f"bench_ingest_{number}", photos, encoder=bundle.name)
        rates.append((len(photos) / took_s, _raw(bundle, listed)))
    ingest_per_s, raw_per_s = (median(pair[side] for pair in rates) for side in (0, 1))
    return IngestFigures(median_ratio(rates), ingest_per_s, raw_per_s)


def _raw(bundle: Path, listed: Path) -> float:
    command = [sys.executable, "-m", "benchmarks.raw", str(bundle), "--images", str(listed)]
    output = subprocess.run(command, cwd=ROOT, check=True, capture_output=True).stdout
    return float(json.loads(output)["per_s"])
