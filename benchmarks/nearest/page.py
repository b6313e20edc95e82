"""The page: one row a method, at its fastest setting that finds nearly all."""

from collections.abc import Mapping
from typing import Any

_ENOUGH = 0.95


def page(results: Mapping[str, Any]) -> str:
    """The Markdown of docs/results/nearest.md."""
    count, dimension, queries = (results["embeddings"][name] for name in ("count", "dimension", "queries"))
    rows = "\n".join(_row(method, count) for method in results["methods"])
    machine = results["machine"]
    versions = ", ".join(f"{name} {number}" for name, number in results["versions"].items())
    return f"""# Nearest neighbours of {count:,} images

Written by `{results["command"]}` in {results["seconds"]} s; all settings and figures are in [nearest.json](nearest.json).

{count:,} embeddings of {dimension} numbers by the bundle `{results["bundle"]["name"]}`
({results["bundle"]["sha256"][:12]}): random views of images, {results["photo_share"]:.0%} of them of photos and the
rest of drawn scenes, seed {results["seed"]}. {queries:,} queries are other views, half of them of images of which the
base has no view. Each row is the method's fastest setting with a recall@10 of at least {_ENOUGH}, or its best where none
has that.

| method | setting | recall@10 | p50 ms | p95 ms | queries/s | bytes a vector | memory MB | ranked by | build s |
|---|---|---|---|---|---|---|---|---|---|
{rows}

![recall over latency](nearest.png)

- recall@10: the share of the ten exact neighbours that is found. p50 and p95: one query at a time; queries/s: all in one
  call, which LOPQ answers one by one.
- LOPQ and faiss run in the caller's process on one thread, LOPQ in numpy, faiss in C++. Milvus is a server on the same
  machine with all of its threads; its latency holds one call over the wire.
- bytes a vector: the whole index as it is stored, ids, centroids and rotations included; the codes of LOPQ, OPQ-IVF-PQ
  and IVF_PQ are 32 bytes of it. memory: what the process has grown by; the server's is exact to some 20 MB, and
  not to be had where the server gave back more of what the inserts needed than the index took.
- ranked: the best {results["shortlist"]} by their codes are ranked anew by the embeddings themselves ({4 * dimension:,} bytes each), from
  a file that is mapped into memory, or from a copy in memory as faiss's `IndexRefineFlat` keeps it. Milvus does not rank
  anew by itself; here the caller does.
- Machine: {machine["cores"]} cores ({machine["processor"]}), Python {machine["python"]}, {versions}; {results["disturbance"]:.0%}
  of the processors' time went to others meanwhile.
"""


def _row(method: Mapping[str, Any], count: int) -> str:
    enough = [point for point in method["points"] if point["recall10"] >= _ENOUGH]
    best = max(point["recall10"] for point in method["points"])
    point = min(
        enough or [point for point in method["points"] if point["recall10"] == best], key=lambda each: each["p50_ms"]
    )
    cells = (
        method["name"],
        f"{method['knob']} {point['breadth']}" if method["knob"] else "",
        f"{point['recall10']:.3f}",
        f"{point['p50_ms']:.2f}",
        f"{point['p95_ms']:.2f}",
        f"{point['per_s']:,}",
        f"{method['index_bytes'] / count:,.0f}",
        f"{method['resident_bytes'] / 1e6:,.0f}" if method["resident_bytes"] > 0 else "unknown",
        method["ranked_by"] or "nothing",
        f"{method['build_s']:.0f}",
    )
    return f"| {' | '.join(cells)} |"
