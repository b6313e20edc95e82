"""A way to find nearest neighbours, and what is measured of it: recall, latency and throughput at each setting."""

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from training.metrics import neighbour_recall

Floats = NDArray[np.float32]
Ids = NDArray[np.int64]

LIMIT = 10
# What codes find first is ranked anew by its true distance to the query, this many items.
SHORTLIST = 100
_WARM = 50


@dataclass(frozen=True, slots=True)
class Method:
    """An index that is ready to be asked.

    `search` takes queries (Q, D) and a breadth, which is the method's own `knob`, and gives ids (Q, LIMIT), -1 for none.
    `index_bytes` is what the index takes as it is stored, `resident_bytes` what its process grew by, both without the
    embeddings that `ranked_by` reads. `build_s` leaves out sending the embeddings to a server.
    """

    name: str
    knob: str
    breadths: tuple[int, ...]
    search: Callable[[Floats, int], Ids]
    build_s: float
    index_bytes: int
    resident_bytes: int
    ranked_by: str = ""


@dataclass(frozen=True, slots=True)
class Point:
    """The figures of one breadth: milliseconds of one query at a time, and queries a second of all in one call."""

    breadth: int
    recall10: float
    p50_ms: float
    p95_ms: float
    per_s: float


def ranked_anew(base: Floats, queries: Floats, found: Ids) -> Ids:
    """Of the items found for each query (Q, n; -1 for none), the LIMIT that are nearest to it by their embeddings."""
    ranked = np.full((len(queries), LIMIT), -1)
    for row, query, ids in zip(ranked, queries, found, strict=True):
        there = ids[ids >= 0]
        best = there[np.argsort(-(base[there] @ query))][:LIMIT]
        row[: len(best)] = best
    return ranked


def measure(method: Method, queries: Floats, exact: Ids) -> dict[str, Any]:
    """All figures of a method by name, as the results' file keeps them."""
    points = [_point(method, breadth, queries, exact) for breadth in method.breadths]
    described = {key: value for key, value in _plain(method).items() if key not in {"search", "breadths"}}
    return {**described, "points": [asdict(point) for point in points]}


def _plain(method: Method) -> dict[str, Any]:
    return {name: getattr(method, name) for name in Method.__slots__}


def _point(method: Method, breadth: int, queries: Floats, exact: Ids) -> Point:
    for query in queries[:_WARM]:
        method.search(query[None], breadth)
    taken_s, found = [], []
    for query in queries:
        started_s = time.perf_counter()
        found.append(method.search(query[None], breadth)[0])
        taken_s.append(time.perf_counter() - started_s)
    started_s = time.perf_counter()
    method.search(queries, breadth)
    whole_s = time.perf_counter() - started_s
    p50_s, p95_s = np.percentile(taken_s, (50, 95))
    recall = neighbour_recall(np.stack(found), exact)
    point = Point(
        breadth, round(recall, 4), round(1000 * p50_s, 3), round(1000 * p95_s, 3), round(len(queries) / whole_s)
    )
    print(f"{method.name:36} {method.knob} {breadth:6} recall@10 {point.recall10:.4f}  p50 {point.p50_ms:7.3f} ms")
    return point
