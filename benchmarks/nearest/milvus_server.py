"""The methods of a real Milvus server: exact, IVF_PQ and HNSW over one collection, and IVF_PQ ranked anew by us."""

import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from pymilvus import DataType, MilvusClient

from benchmarks.nearest.method import LIMIT, SHORTLIST, Floats, Ids, Method, ranked_anew
from testbed.servers import STANDALONE_START_TIMEOUT_S, EmbeddedServer, standalone_milvus

_NAME = "nearest"
_BATCH = 5_000
_METRICS_PORT = 9091
# As many clusters as Fovea's own collections have; ten times as many take Milvus many minutes to learn.
_IVF_PQ = {"nlist": 256, "m": 32, "nbits": 8}
_NPROBES = (4, 8, 16, 32, 64)
_HNSW = {"M": 16, "efConstruction": 200}
_EFS = (10, 20, 40, 80, 160)


def milvus_methods(base: Floats) -> Iterator[Method]:
    """One index after the other over the same rows; each is there until the next is asked for."""
    with standalone_milvus() as server:
        server.start(STANDALONE_START_TIMEOUT_S)
        collection = _Collection(server)
        collection.fill(base)

        flat = collection.index("FLAT", {})
        yield Method("exact, Milvus FLAT", "", (0,), collection.searching(), flat.build_s, base.nbytes, flat.resident())

        coded = collection.index("IVF_PQ", _IVF_PQ)
        name, asked = "Milvus IVF_PQ", collection.searching("nprobe")
        yield Method(name, "nprobe", _NPROBES, asked, coded.build_s, coded.stored_bytes, coded.resident())

        more = collection.searching("nprobe", limit=SHORTLIST)

        def ranked(queries: Floats, nprobe: int) -> Ids:
            return ranked_anew(base, queries, more(queries, nprobe))

        name = "Milvus IVF_PQ, ranked"
        yield Method(
            name, "nprobe", _NPROBES, ranked, coded.build_s, coded.stored_bytes, coded.resident(), "mapped file"
        )

        graph = collection.index("HNSW", _HNSW)
        asked = collection.searching("ef")
        yield Method("Milvus HNSW", "ef", _EFS, asked, graph.build_s, graph.stored_bytes, graph.resident())


@dataclass(frozen=True, slots=True)
class _Built:
    """An index that is loaded: the seconds it took to build, the bytes of its files, and the server before the load."""

    build_s: float
    stored_bytes: int
    server: EmbeddedServer
    resident_before: int

    def resident(self) -> int:
        """How much the server has grown by since; other parts of it shrink and grow by some 20 MB meanwhile."""
        return _resident_bytes(self.server) - self.resident_before


class _Collection:
    """A collection of ids and embeddings with one index at a time."""

    def __init__(self, server: EmbeddedServer) -> None:
        self._server = server
        self._client = MilvusClient(server.url)
        self._is_indexed = False

    def fill(self, base: Floats) -> None:
        """Insert all rows, and wait until they are stored."""
        schema = MilvusClient.create_schema(auto_id=False)
        schema.add_field("id", DataType.INT64, is_primary=True)
        schema.add_field("embedding", DataType.FLOAT_VECTOR, dim=base.shape[1])
        self._client.create_collection(_NAME, schema=schema, num_shards=1)
        for start in range(0, len(base), _BATCH):
            rows = enumerate(base[start : start + _BATCH], start)
            self._client.insert(_NAME, [{"id": number, "embedding": embedding} for number, embedding in rows])
        self._client.flush(_NAME)

    def index(self, kind: str, params: dict[str, int]) -> _Built:
        """Replace the index and load the collection with the new one."""
        if self._is_indexed:
            self._client.release_collection(_NAME)
            self._client.drop_index(_NAME, "embedding")
        self._is_indexed = True
        index_params = MilvusClient.prepare_index_params()
        index_params.add_index("embedding", index_type=kind, index_name="embedding", metric_type="IP", params=params)
        stored_before, started_s = self._stored_bytes(), time.perf_counter()
        self._client.create_index(_NAME, index_params)
        build_s = time.perf_counter() - started_s
        stored, resident = self._stored_bytes() - stored_before, _resident_bytes(self._server)
        self._client.load_collection(_NAME)
        return _Built(build_s, stored, self._server, resident)

    def searching(self, knob: str = "", *, limit: int = LIMIT) -> "_Searching":
        """How the index is asked."""
        return _Searching(self._client, knob, limit)

    def _stored_bytes(self) -> int:
        return sum(file.stat().st_size for file in self._server.folder.rglob("index_files/**/*") if file.is_file())


@dataclass(frozen=True, slots=True)
class _Searching:
    client: MilvusClient
    knob: str
    limit: int

    def __call__(self, queries: Floats, breadth: int) -> Ids:
        params: dict[str, Any] = {"params": {self.knob: breadth} if self.knob else {}}
        answers = self.client.search(_NAME, list(queries), limit=self.limit, search_params=params)
        found = np.full((len(queries), self.limit), -1)
        for row, hits in zip(found, answers, strict=True):
            row[: len(hits)] = [hit["id"] for hit in hits]
        return found


def _resident_bytes(server: EmbeddedServer) -> int:
    host = server.url.removeprefix("http://").split(":")[0]
    with urllib.request.urlopen(f"http://{host}:{_METRICS_PORT}/metrics", timeout=10) as page:
        lines = page.read().decode().splitlines()
    return int(float(next(line for line in lines if line.startswith("process_resident_memory_bytes ")).split()[1]))
