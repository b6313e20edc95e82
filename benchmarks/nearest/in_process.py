"""The methods that run in the caller's process: exact, LOPQ and faiss's OPQ-IVF-PQ, each on one thread."""

import ctypes
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import faiss
import numpy as np

from benchmarks.nearest.method import LIMIT, SHORTLIST, Floats, Ids, Method
from training.lopq.evaluate import LOPQ_32
from training.lopq.fit import fit
from training.lopq.index import LopqIndex


def exact_method(base: Floats) -> Iterator[Method]:
    """Every embedding compared: faiss's flat index."""
    held = _Growth()
    started_s = time.perf_counter()
    index = faiss.IndexFlatIP(base.shape[1])
    index.add(base)
    yield Method(
        "exact, faiss flat",
        "",
        (0,),
        lambda queries, _breadth: index.search(queries, LIMIT)[1],
        build_s=time.perf_counter() - started_s,
        index_bytes=base.nbytes,
        resident_bytes=held.bytes(),
    )


def lopq_methods(base: Floats) -> Iterator[Method]:
    """Ours: by codes alone, then with the best of them ranked by true distance."""
    held = _Growth()
    started_s = time.perf_counter()
    index = LopqIndex(fit(base, LOPQ_32))
    index.add(np.arange(len(base)), base)
    built_s = time.perf_counter() - started_s

    def coded(queries: Floats, quota: int) -> Ids:
        return _filled([index.search(query, limit=LIMIT, quota=quota).ids for query in queries])

    def ranked(queries: Floats, quota: int) -> Ids:
        found = [
            index.search(query, limit=LIMIT, quota=quota, exact=base.__getitem__, shortlist=SHORTLIST).ids
            for query in queries
        ]
        return _filled(found)

    for name, search, ranked_by in (("LOPQ", coded, ""), ("LOPQ, ranked", ranked, "mapped file")):
        yield Method(
            name, "quota", (500, 1_000, 2_000, 4_000, 8_000), search, built_s, index.nbytes, held.bytes(), ranked_by
        )


def faiss_methods(base: Floats) -> Iterator[Method]:
    """The nearest of faiss: one rotation for all, a product quantiser over residuals; then with a flat index behind it."""
    held = _Growth()
    started_s = time.perf_counter()
    rotation = faiss.OPQMatrix(base.shape[1], 32, 128)
    # A quarter of the work of faiss's defaults, which take minutes; what it costs in recall is not measured.
    rotation.niter, rotation.max_train_points = 12, 16_384
    cells = faiss.IndexIVFPQ(faiss.IndexFlatL2(128), 128, 1_024, 32, 8)
    coded = faiss.IndexPreTransform(rotation, cells)
    coded.train(base)
    coded.add(base)
    built_s = time.perf_counter() - started_s
    breadths = (4, 8, 16, 32, 64)
    code_bytes = len(faiss.serialize_index(coded))

    def search(index: faiss.Index) -> Callable[[Floats, int], Ids]:
        def ask(queries: Floats, nprobe: int) -> Ids:
            cells.nprobe = nprobe
            return index.search(queries, LIMIT)[1]

        return ask

    yield Method("faiss OPQ-IVF-PQ", "nprobe", breadths, search(coded), built_s, code_bytes, held.bytes())
    ranked = faiss.IndexRefineFlat(coded, faiss.swig_ptr(base))
    ranked.k_factor = SHORTLIST / LIMIT
    name = "faiss OPQ-IVF-PQ, ranked"
    yield Method(name, "nprobe", breadths, search(ranked), built_s, code_bytes, held.bytes(), "memory")


class _Growth:
    """How much anonymous memory the process has taken since this was made; mapped files do not count."""

    def __init__(self) -> None:
        self._before = _anonymous_bytes()

    def bytes(self) -> int:
        """The growth so far."""
        return _anonymous_bytes() - self._before


def _anonymous_bytes() -> int:
    # What was freed goes back first, so that a build's own needs do not count, nor what was before it.
    ctypes.CDLL(None).malloc_trim(0)
    status = Path("/proc/self/status").read_text()
    return 1024 * int(next(line for line in status.splitlines() if line.startswith("RssAnon")).split()[1])


def _filled(found: list[Ids]) -> Ids:
    """Rows of LIMIT ids; -1 where there were fewer."""
    return np.stack([np.pad(ids, (0, LIMIT - len(ids)), constant_values=-1) for ids in found])
