"""LOPQ beside exact search, faiss and Milvus on 100,000 embeddings of images.

python -m benchmarks.nearest

Embeds the views where data/nearest does not have them (three minutes on two cores), then measures for about five. Writes
docs/results/nearest.json, nearest.md and nearest.png; with `--only lopq faiss` it measures these and writes nothing.
"""

import argparse
import json
import os
import platform
import time
from importlib.metadata import version
from pathlib import Path

import onnxruntime

from benchmarks.measure import disturbance
from benchmarks.nearest.families import FAMILIES, measure_family
from benchmarks.nearest.method import LIMIT, SHORTLIST
from benchmarks.nearest.page import page
from benchmarks.nearest.plot import write_plot
from benchmarks.servers import ROOT
from encoders.bundle import Bundle
from training.lopq.evaluate import exact_neighbours
from training.lopq.views import SEED, embed_views

# Read by the BLAS of a process when it starts.
_ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}


def main() -> None:
    """Read the command line, measure and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=list(FAMILIES), help="measure these and write nothing")
    parser.add_argument("--bundle", type=Path, default=ROOT / "models" / "general-2")
    parser.add_argument("--realdata", type=Path, default=ROOT.parent / "shared" / "realdata")
    parser.add_argument("--cache", type=Path, default=ROOT / "data" / "nearest")
    parser.add_argument("--count", type=int, default=100_000, help="embeddings to search")
    parser.add_argument("--queries", type=int, default=1_000)
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "results", help="folder of the results")
    options = parser.parse_args()
    bundle = Bundle.load(options.bundle)
    views = embed_views(bundle, options.realdata, options.cache, count=options.count, queries=options.queries)
    started_s = time.monotonic()
    os.environ.update(_ONE_THREAD)
    with disturbance() as disturbed:
        exact = exact_neighbours(views.base, views.queries, LIMIT)
        methods = [
            figures for family in options.only or FAMILIES for figures in measure_family(family, views.folder, exact)
        ]
    if options.only:
        return
    results = {
        "command": "python -m benchmarks.nearest",
        "seed": SEED,
        "bundle": {"name": bundle.name, "sha256": views.sha256},
        "embeddings": {"count": len(views.base), "dimension": views.base.shape[1], "queries": len(views.queries)},
        "photo_share": views.photos,
        "shortlist": SHORTLIST,
        "seconds": round(time.monotonic() - started_s),
        "disturbance": round(disturbed.share, 4),
        "machine": {"cores": os.cpu_count(), "processor": platform.machine(), "python": platform.python_version()},
        "versions": {
            **{name: version(name) for name in ("numpy", "faiss-cpu", "milvus", "pymilvus")},
            "onnxruntime": onnxruntime.__version__,
        },
        "methods": methods,
    }
    (options.out / "nearest.json").write_text(json.dumps(results, indent=2) + "\n")
    (options.out / "nearest.md").write_text(page(results))
    write_plot(results, options.out / "nearest.png")
    print(f"{results['seconds']} s, disturbance {disturbed.share:.1%}; written to {options.out}/nearest.*")


if __name__ == "__main__":
    main()
