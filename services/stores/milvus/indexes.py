"""Which index a collection gets: by name, or by its size; how indexes are built, and searched for a stated recall."""

from dataclasses import replace
from typing import Any

from rpc.errors import InvalidArgument
from services.stores.filters.expression import Engine
from services.stores.milvus.machine import ANY_VERSION, Machine, Version
from services.stores.records import Collection

METRIC = "IP"  # embeddings have unit length, so the inner product is the cosine

# The share of the ten nearest embeddings that an index chosen by size finds: the parameters below were measured to reach
# it (docs/scale.md), and tests hold them to it.
RECALL = 0.97

# The types that each engine has, and since when. Milvus Lite takes any name and cannot load the collection after a restart.
_KNOWN: dict[Engine, dict[str, Version]] = {
    Engine.LITE: {"FLAT": ANY_VERSION, "IVF_FLAT": ANY_VERSION, "AUTOINDEX": ANY_VERSION},
    Engine.SERVER: {
        "FLAT": ANY_VERSION,
        "HNSW": ANY_VERSION,
        "IVF_FLAT": ANY_VERSION,
        "IVF_SQ8": ANY_VERSION,
        "IVF_PQ": ANY_VERSION,
        "IVF_RABITQ": (2, 6),
        "SCANN": ANY_VERSION,
        "DISKANN": ANY_VERSION,
        "AUTOINDEX": ANY_VERSION,
    },
}
# Up to here comparing with every embedding is as fast as an index, and finds all.
FLAT_ROWS = 10_000
# What a server gets beyond, in this order: the first one that fits into the memory. Milvus Lite stays with FLAT: it takes no
# `nprobe`, so what its IVF_FLAT finds cannot be chosen, and was .80 of the ten nearest of 100,000 in a trial.
_BY_SIZE = ("HNSW", "IVF_SQ8", "DISKANN")
# The share of the memory of the nodes that search which one collection may take: others, and its next index, want some too.
_MEMORY_SHARE = 0.4
_COLUMNS_BYTES = 600  # of a row beside its embedding: they are held in memory, too
_CLUSTERS = 256
_LINKS = 16  # of a node of the graph; twice as many in its lowest layer


def with_index(collection: Collection, machine: Machine) -> Collection:
    """A new collection with the index that was asked for, or else with the one for its size."""
    if collection.index:
        return replace(collection, index=checked_index(collection.index, machine))
    return replace(collection, index=index_for(0, collection.dimension, machine), index_by_size=True)


def checked_index(index: str, machine: Machine) -> str:
    """The index that was asked for; InvalidArgument names what this engine has."""
    known = [each for each, since in _KNOWN[machine.engine].items() if machine.version >= since]
    if index.upper() not in known:
        raise InvalidArgument(f"index: {machine.engine} has {', '.join(known)}, and not {index[:40]!r}")
    return index.upper()


def index_for(rows: int, dimension: int, machine: Machine) -> str:
    """The index for a collection of this size."""
    if rows <= FLAT_ROWS or machine.engine is Engine.LITE:
        return "FLAT"
    *in_memory, last = _BY_SIZE
    room = machine.memory_bytes * _MEMORY_SHARE
    fitting = (index for index in in_memory if not room or rows * row_bytes(index, dimension) <= room)
    return next(fitting, last)


def is_outgrown(index: str, target: str) -> bool:
    """Whether `target` is for larger collections than `index`: none gets a smaller index because images were deleted."""
    order = ("FLAT", *_BY_SIZE)
    return index in order and order.index(index) < order.index(target)


def row_bytes(index: str, dimension: int) -> int:
    """About how much memory of Milvus a row takes."""
    match index:
        case "HNSW":
            return 4 * dimension + 8 * _LINKS + _COLUMNS_BYTES + 100
        case "IVF_SQ8":
            return dimension + 8 + _COLUMNS_BYTES
        case _:
            return 4 * dimension + _COLUMNS_BYTES


def build_params(index: str, dimension: int) -> dict[str, Any]:
    """How an index is built."""
    match index:
        case "HNSW":
            return {"M": _LINKS, "efConstruction": 200}
        case "IVF_FLAT" | "IVF_SQ8" | "SCANN":
            return {"nlist": _CLUSTERS}
        case "IVF_RABITQ":
            # One bit a dimension finds the candidates, eight bits a dimension rank them.
            return {"nlist": _CLUSTERS, "refine": True, "refine_type": "SQ8"}
        case "IVF_PQ":
            # Parts of about eight dimensions; their number has to divide the dimension.
            parts = next(parts for parts in range(max(1, dimension // 8), 0, -1) if dimension % parts == 0)
            return {"nlist": _CLUSTERS, "m": parts, "nbits": 8}
        case _:
            return {}


def search_params(index: str, limit: int) -> dict[str, Any]:
    """How an index is searched for `limit` rows: wide enough to find RECALL of them, except by IVF_PQ."""
    probes = min(_CLUSTERS, max(32, limit // 16))
    match index:
        case "HNSW":
            return {"ef": min(32_768, max(64, 2 * limit))}
        case "IVF_FLAT" | "IVF_SQ8" | "IVF_PQ":
            return {"nprobe": probes}
        case "IVF_RABITQ":
            return {"nprobe": probes, "refine_k": 4}
        case "SCANN":
            return {"nprobe": probes, "reorder_k": max(64, 2 * limit)}
        case "DISKANN":
            return {"search_list": max(64, limit + limit // 2)}
        case _:
            return {}
