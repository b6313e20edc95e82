"""The plot: recall over latency, a line for each method."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

# Okabe and Ito's colours, which people tell apart whatever colours they see. Codes alone are dashed and hollow.
_STYLES: dict[str, tuple[str, str]] = {
    "exact, faiss flat": ("#000000", "*"),
    "exact, Milvus FLAT": ("#999999", "*"),
    "LOPQ": ("#D55E00", "o"),
    "faiss OPQ-IVF-PQ": ("#0072B2", "s"),
    "Milvus IVF_PQ": ("#009E73", "^"),
    "Milvus HNSW": ("#CC79A7", "D"),
}
_RANKED = ", ranked"


def write_plot(results: Mapping[str, Any], path: Path) -> None:
    """Write a PNG of all points."""
    methods, embeddings = results["methods"], results["embeddings"]
    names = {method["name"] for method in methods}
    figure = Figure(figsize=(8, 5), layout="constrained")
    axes = figure.subplots()
    for method in methods:
        colour, marker = _STYLES[method["name"].removesuffix(_RANKED)]
        is_coded = f"{method['name']}{_RANKED}" in names
        axes.plot(
            [point["p50_ms"] for point in method["points"]],
            [point["recall10"] for point in method["points"]],
            label=method["name"],
            color=colour,
            marker=marker,
            markersize=11 if marker == "*" else 6,
            markerfacecolor="white" if is_coded else colour,
            linestyle="--" if is_coded else "-",
        )
    axes.axhline(0.9, color="#555555", linewidth=0.8, linestyle=":")
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter("{x:g}")
    axes.set_xlabel("milliseconds a query, median, one at a time")
    axes.set_ylabel("recall@10")
    axes.set_title(f"{embeddings['count']:,} embeddings of images, {embeddings['dimension']} numbers each")
    axes.grid(visible=True, which="both", color="#dddddd", linewidth=0.6)
    figure.legend(loc="outside lower center", ncols=4, frameon=False, fontsize=9)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    figure.savefig(path, dpi=110)
