"""`make bench-quick`: Fovea beside its raw limits, as ratios, in less than three minutes.

Prints a table and writes docs/results/bench-quick.json. A and B run in turn, three times each; medians are kept.
"""

import json
import os
import platform
import tempfile
import time
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path

import onnxruntime

from benchmarks.encoder import measure_encoder
from benchmarks.ingest import measure_ingest
from benchmarks.measure import disturbance
from benchmarks.photos import photos
from benchmarks.search import measure_search
from benchmarks.servers import ROOT, system
from testbed.servers import milvus_standalone_server

PAIRS = 3
PHOTOS = 1000
_BUNDLE = ROOT / "models" / "general-2"
_RESULTS = ROOT / "docs" / "results" / "bench-quick.json"
_GOALS = {"model_busy": (">=", 0.85), "served_over_raw": (">=", 0.80), "search_over_parts": ("<=", 1.4)} | {
    "ingest_over_raw": (">=", 0.70)
}


def measure(folder: Path) -> dict[str, float]:
    """All figures by name."""
    images = photos(PHOTOS, folder / "photos")
    figures: dict[str, float] = asdict(measure_encoder(_BUNDLE, folder, pairs=PAIRS, seconds=4.0))
    with milvus_standalone_server() as milvus_uri, system(folder / "data", milvus_uri=milvus_uri) as run:
        figures |= asdict(measure_search(run, images[:500], encoder=_BUNDLE.name, pairs=PAIRS, seconds=1.0))
        figures |= asdict(measure_ingest(run, images, _BUNDLE, folder, pairs=PAIRS))
    return figures


def main() -> None:
    """Measures, prints and writes."""
    started_s = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="fovea-bench-") as folder, disturbance() as disturbed:
        figures = measure(Path(folder))
    for name, (relation, goal) in _GOALS.items():
        print(f"{name:20} {figures[name]:6.3f}   goal {relation} {goal}")
    for name, value in figures.items():
        if name not in _GOALS:
            print(f"{name:20} {value:8.2f}")
    results = {
        **{name: round(value, 4) for name, value in figures.items()},
        "command": "make bench-quick",
        "seconds": round(time.monotonic() - started_s),
        "disturbance": round(disturbed.share, 4),
        "machine": {"cores": os.cpu_count(), "processor": platform.machine(), "python": platform.python_version()},
        "versions": {
            **{name: version(name) for name in ("grpcio", "pymilvus", "redis", "milvus")},
            "onnxruntime": onnxruntime.__version__,
        },
    }
    _RESULTS.parent.mkdir(parents=True, exist_ok=True)
    _RESULTS.write_text(json.dumps(results, indent=2) + "\n")
    print(f"{results['seconds']} s, disturbance {disturbed.share:.1%}; written to {_RESULTS.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
