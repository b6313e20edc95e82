"""How long 64 queries take in one `BatchSearch`, on the real Milvus server; their embeddings are known, so nothing is encoded.

python -m benchmarks.batches
"""

import tempfile
from functools import partial
from pathlib import Path

import grpc
import numpy as np

from benchmarks.measure import durations, p50
from benchmarks.photos import photos
from benchmarks.search import fill
from benchmarks.servers import system
from fovea.search.v1 import search_pb2, search_pb2_grpc
from testbed.servers import milvus_standalone_server

_COLLECTION, _PHOTOS, _QUERIES, _DIMENSION = "bench_batches", 200, 64, 320
_FOR_S = 5.0


def batch(limit: int) -> search_pb2.BatchSearchRequest:
    """A batch of queries that differ in their embeddings only."""
    embeddings = np.random.default_rng(7).normal(size=(_QUERIES, _DIMENSION)).astype("<f4")
    parts = [search_pb2.QueryPart(embedding=embedding.tobytes()) for embedding in embeddings]
    queries = [search_pb2.SearchRequest(parts=[part], limit=limit) for part in parts]
    return search_pb2.BatchSearchRequest(collection=_COLLECTION, queries=queries)


def main() -> None:
    """Fill a collection, ask, print."""
    with (
        tempfile.TemporaryDirectory(prefix="fovea-bench-") as folder,
        milvus_standalone_server() as milvus_uri,
        system(Path(folder) / "data", milvus_uri=milvus_uri) as run,
    ):
        fill(run["ingest"], _COLLECTION, photos(_PHOTOS, Path(folder) / "photos"), encoder="general")
        options = [("grpc.max_receive_message_length", 64 << 20)]
        with grpc.insecure_channel(run["search"], options=options) as channel:
            stub = search_pb2_grpc.SearchServiceStub(channel)
            for limit in (10, 100):
                taken_s = p50(durations(partial(stub.BatchSearch, batch(limit)), for_s=_FOR_S))
                print(f"{_QUERIES} queries, limit {limit}: {1000 * taken_s:.0f} ms")


if __name__ == "__main__":
    main()
