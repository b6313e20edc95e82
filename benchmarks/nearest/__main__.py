"""LOPQ beside exact search, faiss and Milvus on 100,000 embeddings of pictures.

python -m benchmarks.nearest

Embeds the views where data/nearest does not have them (three minutes on two cores), then measures for about five. Writes
docs/results/nearest.json, nearest.md and nearest.png; with `--only lopq faiss` it measures these and writes nothing.
"""

import argparse
import json
import multiprocessing
import os
import platform
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import faiss
import numpy as np

from benchmarks.measure import disturbance
from benchmarks.nearest.in_process import exact_method, faiss_methods, lopq_methods
from benchmarks.nearest.method import LIMIT, SHORTLIST, Floats, Ids, Method, measure
from benchmarks.nearest.milvus_server import milvus_methods
from benchmarks.nearest.page import page
from benchmarks.nearest.plot import write_plot
from benchmarks.servers import ROOT
from encoders.bundle import Bundle
from training.lopq.evaluate import exact_neighbours
from training.lopq.views import SEED, ViewEmbeddings, embed_views

_RESULTS = ROOT / "docs" / "results" / "nearest"
_FAMILIES: Mapping[str, Callable[[Floats], Iterator[Method]]] = {
    "exact": exact_method,
    "lopq": lopq_methods,
    "faiss": faiss_methods,
    "milvus": milvus_methods,
}
# Read by the BLAS of a process when it starts.
_ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}


@dataclass(frozen=True, slots=True)
class Source:
    """Where the embeddings come from."""

    bundle: Path
    realdata: Path
    cache: Path

    def views(self) -> ViewEmbeddings:
        """The embeddings, computed where they are not cached."""
        return embed_views(Bundle.load(self.bundle), self.realdata, self.cache)


def measure_family(family: str, source: Source, exact: Ids) -> list[dict[str, Any]]:
    """The figures of each method of a family, from a process of its own, whose memory is theirs alone."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as process:
        return process.submit(_measured, family, source, exact).result()


def _measured(family: str, source: Source, exact: Ids) -> list[dict[str, Any]]:
    faiss.omp_set_num_threads(1)
    views = source.views()
    return [measure(method, np.asarray(views.queries), exact) for method in _FAMILIES[family](views.base)]


def main() -> None:
    """Read the command line, measure and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=list(_FAMILIES), help="measure these and write nothing")
    parser.add_argument("--bundle", type=Path, default=ROOT / "models" / "general")
    parser.add_argument("--realdata", type=Path, default=ROOT.parent / "shared" / "realdata")
    parser.add_argument("--cache", type=Path, default=ROOT / "data" / "nearest")
    options = parser.parse_args()
    source = Source(options.bundle, options.realdata, options.cache)
    views = source.views()
    started_s = time.monotonic()
    os.environ.update(_ONE_THREAD)
    with disturbance() as disturbed:
        exact = exact_neighbours(views.base, views.queries, LIMIT)
        methods = [figures for family in options.only or _FAMILIES for figures in measure_family(family, source, exact)]
    if options.only:
        return
    results = {
        "command": "python -m benchmarks.nearest",
        "seed": SEED,
        "bundle": {"name": options.bundle.name, "sha256": Bundle.load(options.bundle).precisions["fp32"].sha256},
        "embeddings": {"count": len(views.base), "dimension": views.base.shape[1], "queries": len(views.queries)},
        "photo_share": views.photos,
        "shortlist": SHORTLIST,
        "seconds": round(time.monotonic() - started_s),
        "disturbance": round(disturbed.share, 4),
        "machine": {"cores": os.cpu_count(), "processor": platform.machine(), "python": platform.python_version()},
        "versions": {name: version(name) for name in ("numpy", "faiss-cpu", "milvus", "pymilvus", "onnxruntime-gpu")},
        "methods": methods,
    }
    _RESULTS.with_suffix(".json").write_text(json.dumps(results, indent=2) + "\n")
    _RESULTS.with_suffix(".md").write_text(page(results))
    write_plot(methods, _RESULTS.with_suffix(".png"))
    print(f"{results['seconds']} s, disturbance {disturbed.share:.1%}; written to {_RESULTS.relative_to(ROOT)}.*")


if __name__ == "__main__":
    main()
