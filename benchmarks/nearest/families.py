"""The families of methods, each measured in a process of its own."""

import multiprocessing
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import faiss
import numpy as np

from benchmarks.nearest.in_process import exact_method, faiss_methods, lopq_methods
from benchmarks.nearest.method import Floats, Ids, Method, measure
from benchmarks.nearest.milvus_server import milvus_methods
from training.lopq.views import ViewEmbeddings

FAMILIES: Mapping[str, Callable[[Floats], Iterator[Method]]] = {
    "exact": exact_method,
    "lopq": lopq_methods,
    "faiss": faiss_methods,
    "milvus": milvus_methods,
}


def measure_family(family: str, embeddings: Path, exact: Ids) -> list[dict[str, Any]]:
    """The figures of each method of a family, from a process of its own, whose memory is theirs alone."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as process:
        return process.submit(_measured, family, embeddings, exact).result()


def _measured(family: str, embeddings: Path, exact: Ids) -> list[dict[str, Any]]:
    faiss.omp_set_num_threads(1)
    views = ViewEmbeddings.open(embeddings)
    return [measure(method, np.asarray(views.queries), exact) for method in FAMILIES[family](views.base)]
