"""Which Milvus indexes each engine keeps alive, how they are built and how they are searched."""

from typing import Any

from rpc.errors import InvalidArgument
from services.stores.filters.expression import Engine

METRIC = "IP"  # embeddings have unit length, so the inner product is the cosine

# Milvus Lite takes any name and cannot load the collection after a restart, hence a list of what works.
_KNOWN = {
    Engine.LITE: ("FLAT", "IVF_FLAT", "AUTOINDEX"),
    Engine.SERVER: ("FLAT", "HNSW", "IVF_FLAT", "IVF_SQ8", "IVF_PQ", "SCANN", "DISKANN", "AUTOINDEX"),
}
_DEFAULT = {Engine.LITE: "FLAT", Engine.SERVER: "HNSW"}
_CLUSTERS = 256


def chosen_index(index: str, engine: Engine) -> str:
    """The index to build; InvalidArgument names what this engine has."""
    known = _KNOWN[engine]
    chosen = index.upper() or _DEFAULT[engine]
    if chosen not in known:
        raise InvalidArgument(f"index: {engine} has {', '.join(known)}, and not {index[:40]!r}")
    return chosen


def build_params(index: str, dimension: int) -> dict[str, Any]:
    """How an index is built."""
    match index:
        case "HNSW":
            return {"M": 16, "efConstruction": 200}
        case "IVF_FLAT" | "IVF_SQ8" | "SCANN":
            return {"nlist": _CLUSTERS}
        case "IVF_PQ":
            # Parts of about eight dimensions; their number has to divide the dimension.
            parts = next(parts for parts in range(max(1, dimension // 8), 0, -1) if dimension % parts == 0)
            return {"nlist": _CLUSTERS, "m": parts, "nbits": 8}
        case _:
            return {}


def search_params(index: str, limit: int) -> dict[str, Any]:
    """How an index is searched for `limit` rows: wide enough to find them, and some more."""
    probes = min(_CLUSTERS, max(32, limit // 16))
    match index:
        case "HNSW":
            return {"ef": min(32_768, max(64, 2 * limit))}
        case "IVF_FLAT" | "IVF_SQ8" | "IVF_PQ":
            return {"nprobe": probes}
        case "SCANN":
            return {"nprobe": probes, "reorder_k": max(64, 2 * limit)}
        case "DISKANN":
            return {"search_list": max(64, limit + limit // 2)}
        case _:
            return {}
