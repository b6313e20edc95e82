"""Evaluates LOPQ: the share of the ten true neighbours that codes of 32 bytes and exact ranking find.

python -m training.lopq.evaluate [--bundle models/general-2] [--realdata ../shared/realdata] [--cache data/nearest]
"""

import argparse
from pathlib import Path

import faiss
import numpy as np
from numpy.typing import NDArray

from encoders.bundle import Bundle
from training.lopq.fit import LopqConfig, fit
from training.lopq.index import LopqIndex
from training.lopq.model import Floats
from training.lopq.views import embed_views
from training.metrics import neighbour_recall

LOPQ_32 = LopqConfig(dimension=128, clusters=64, parts=32)
LIMIT = 10
QUOTA = 4_000
SHORTLIST = 100


def lopq_recall(
    bundle: Path, realdata: Path, cache: Path, *, count: int = 100_000, queries: int = 1_000
) -> dict[str, float]:
    """Index views of images and ask others; shares in 0..1.

    Takes four minutes on two cores where `cache` has no embeddings of this bundle, else a quarter of a minute.
    """
    views = embed_views(Bundle.load(bundle), realdata, cache, count=count, queries=queries)
    index = LopqIndex(fit(views.base, LOPQ_32))
    index.add(np.arange(len(views.base)), views.base)
    found = [
        index.search(query, limit=LIMIT, quota=QUOTA, exact=views.base.__getitem__, shortlist=SHORTLIST).ids
        for query in views.queries
    ]
    exact = exact_neighbours(views.base, views.queries, LIMIT)
    return {"recall10_at_32_bytes": neighbour_recall(np.stack(found), exact)}


def exact_neighbours(base: Floats, queries: Floats, limit: int) -> NDArray[np.int64]:
    """The true neighbours' rows (Q, limit), by every inner product."""
    flat = faiss.IndexFlatIP(base.shape[1])
    flat.add(base)
    rows: NDArray[np.int64] = flat.search(queries, limit)[1]
    return rows


def main() -> None:
    """Print the figure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bundle", type=Path, default=Path("models/general-2"))
    parser.add_argument("--realdata", type=Path, default=Path("../shared/realdata"))
    parser.add_argument("--cache", type=Path, default=Path("data/nearest"))
    options = parser.parse_args()
    for name, share in lopq_recall(options.bundle, options.realdata, options.cache).items():
        print(f"{name} {share:.4f}")


if __name__ == "__main__":
    main()
