"""Collections by size: time to build, memory, disk, recall and the stores' part of a search, on a Milvus of its own.

    python -m benchmarks.scale [--engine server|lite] [--sizes 20000 200000] [--folder data/scale]

The embeddings are of views of the photos by the shipped bundle `general-2`, kept in the folder, PART views at a time: a run
that was cut off goes on where it ended. Rows are written and searched through services/stores, as the services do, and the
index is the one that the size calls for. Each size is added to docs/results/scale-ENGINE.json when it is done; sizes that
are in there are filled again but not measured. 20,000 take about three minutes of two cores, 200,000 half an hour,
1,000,000 about three hours, 12 GB of memory and 15 GB of disk.
"""

import argparse
import asyncio
import json
import os
import platform
import statistics
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from redis import Redis

from benchmarks.measure import disturbance
from benchmarks.servers import ROOT
from encoders.bundle import Bundle
from rpc.deadline import Deadline
from services.ingest.growing import build_index
from services.stores.images import ImageStore
from services.stores.queries import FindResult, NearestQuery
from services.stores.records import WHOLE_IMAGE_REGION, Collection, CollectionMode, Embeddings, NewImage, image_id_of
from testbed.servers import (
    STANDALONE_START_TIMEOUT_S,
    EmbeddedServer,
    embedded_milvus,
    embedded_redis,
    standalone_milvus,
)
from training.lopq.views import embed_views

PART = 20_000
_QUERIES = 200
_LIMIT = 10
_CALLERS = (1, 8, 32)
_SECONDS = 8.0
_NAME = "scale"
_BATCH = 256
_PUTS_AT_ONCE = 2
_TIMEOUT_S = 600.0
_METADATA = {"kind": "view", "licence": "unknown", "rating": 4}


@dataclass(frozen=True, slots=True)
class Waited:
    """What callers waited for the stores, one search after the other each."""

    p50_ms: float
    p99_ms: float
    per_s: float


@dataclass(frozen=True, slots=True)
class SizeFigures:
    """One size; memory is what all processes of Milvus hold, disk and Redis are what an image takes."""

    images: int
    index: str
    put_per_s: float
    index_s: float
    recall: float
    milvus_mib: float
    milvus_disk_bytes: float
    redis_bytes: float
    callers: dict[int, Waited] = field(default_factory=dict)


class Gallery:
    """Embeddings of views, made when they are needed, and those that are asked for."""

    def __init__(self, bundle: Bundle, folder: Path) -> None:
        self._bundle = bundle
        self._folder = folder
        self.queries: Embeddings = np.array(self._part(0).queries)

    def _part(self, number: int) -> Any:
        realdata = ROOT.parent / "shared" / "realdata"
        return embed_views(self._bundle, realdata, self._folder, count=PART, queries=_QUERIES, part=number)

    def range(self, start: int, end: int) -> Iterator[tuple[int, Embeddings]]:
        """The embeddings between two numbers, in batches with the number of their first."""
        for number in range(start // PART, -(-end // PART)):
            base = self._part(number).base
            for at in range(max(start, number * PART), min(end, (number + 1) * PART), _BATCH):
                last = min(at + _BATCH, end, (number + 1) * PART)
                yield at, np.array(base[at - number * PART : last - number * PART])


class Scale:
    """A collection that grows from size to size."""

    def __init__(self, store: ImageStore, milvus: EmbeddedServer, redis: Redis, gallery: Gallery) -> None:
        self._store = store
        self._milvus = milvus
        self._redis = redis
        self._gallery = gallery
        self._count = 0

    async def create(self, dimension: int) -> None:
        """An empty collection, whose index is chosen by size."""
        definition = Collection(_NAME, "space", "general-2", "", CollectionMode.WHOLE_IMAGE, "", dimension, time.time())
        await self._store.create(definition)

    async def grow(self, size: int) -> tuple[float, float]:
        """Add images up to a size, and let the index follow; images a second, and the seconds that the index took."""
        started_s, running = time.perf_counter(), asyncio.Semaphore(_PUTS_AT_ONCE)
        added = size - self._count

        async def put(number: int, embeddings: Embeddings) -> None:
            async with running:
                images = [_image(number + offset, each) for offset, each in enumerate(embeddings)]
                for result in await self._store.put(_NAME, images, Deadline.after(_TIMEOUT_S)):
                    if result.error is not None:
                        raise result.error

        async with asyncio.TaskGroup() as group:
            for number, embeddings in self._gallery.range(self._count, size):
                async with running:
                    pass  # so that not all embeddings are read ahead
                group.create_task(put(number, embeddings))
        put_s = time.perf_counter() - started_s
        self._count = size
        started_s = time.perf_counter()
        await self._store.flush(_NAME)
        collection = await self._store.get(_NAME)
        if index := await self._store.sizes.index_needed(collection, size):
            await build_index(self._store, collection, index)
            await self._store.serving.drop_copies(_NAME)
        return added / max(put_s, 1e-9), time.perf_counter() - started_s

    async def recall(self) -> float:
        """The share of the ten nearest that is found, the truth being the product of all with all."""
        queries, best = self._gallery.queries, np.full((_QUERIES, _LIMIT), -np.inf, dtype=np.float32)
        ids = np.zeros((_QUERIES, _LIMIT), dtype=np.int64)
        for start, embeddings in self._gallery.range(0, self._count):
            scores = np.concatenate([best, queries @ embeddings.T], axis=1)
            numbers = np.concatenate([ids, np.tile(np.arange(start, start + len(embeddings)), (_QUERIES, 1))], axis=1)
            top = np.argpartition(-scores, _LIMIT - 1, axis=1)[:, :_LIMIT]
            best, ids = np.take_along_axis(scores, top, axis=1), np.take_along_axis(numbers, top, axis=1)
        # By score, because views may be the same to the last digit.
        worst = best.min(axis=1) - 1e-5
        found = 0
        for query, least in zip(queries, worst, strict=True):
            found += sum(hit.score >= least for hit in (await self._find(query)).hits)
        return found / (_QUERIES * _LIMIT)

    async def waited(self, callers: int) -> Waited:
        """What so many callers wait."""
        ends_s, taken_s = time.perf_counter() + _SECONDS, list[float]()

        async def caller(number: int) -> None:
            while time.perf_counter() < ends_s:
                started_s = time.perf_counter()
                await self._find(self._gallery.queries[(number + len(taken_s)) % _QUERIES])
                taken_s.append(time.perf_counter() - started_s)

        await asyncio.gather(*map(caller, range(callers)))
        quantiles = statistics.quantiles(taken_s, n=100)
        return Waited(1000 * quantiles[49], 1000 * quantiles[98], len(taken_s) / _SECONDS)

    async def _find(self, query: Embeddings) -> FindResult:
        nearest = NearestQuery(query[np.newaxis], _LIMIT, fold_copies=False)
        (found,) = await self._store.find(_NAME, [nearest], Deadline.after(_TIMEOUT_S))
        if not isinstance(found, FindResult):
            raise found
        return found

    async def measured(self, put_per_s: float, index_s: float) -> SizeFigures:
        """All figures of the size that is reached."""
        collection, recall = await self._store.get(_NAME), await self.recall()
        callers = {count: await self.waited(count) for count in _CALLERS}
        return SizeFigures(
            images=self._count,
            index=collection.index,
            put_per_s=put_per_s,
            index_s=index_s,
            recall=recall,
            milvus_mib=self._milvus.memory_bytes() / (1 << 20),
            milvus_disk_bytes=_stored_bytes(self._milvus.folder) / self._count,
            redis_bytes=self._redis.info("memory")["used_memory_dataset"] / self._count,
            callers=callers,
        )


def _image(number: int, embedding: Embeddings) -> NewImage:
    uri = f"/data/photos/{number % 1000:03d}/view-{number:08d}.jpg"
    sha256 = 2 * image_id_of(uri)
    return NewImage(uri, sha256, 640, 480, _METADATA, (WHOLE_IMAGE_REGION,), embedding[np.newaxis])


def _stored_bytes(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())


@contextmanager
def _milvus(engine: str, folder: Path) -> Iterator[EmbeddedServer]:
    if engine == "server":
        with standalone_milvus() as server:
            server.start(STANDALONE_START_TIMEOUT_S)
            yield server
        return
    server = embedded_milvus(folder)
    server.start()
    try:
        yield server
    finally:
        server.kill()


async def _measure(engine: str, sizes: Sequence[int], gallery: Gallery, results: "Results") -> None:
    with (
        tempfile.TemporaryDirectory(prefix="fovea-milvus-") as folder,
        tempfile.TemporaryDirectory(prefix="fovea-redis-") as redis_folder,
        _milvus(engine, Path(folder)) as milvus,
    ):
        redis = embedded_redis(Path(redis_folder))
        redis.start()
        store = await ImageStore.open(milvus.url, redis.url)
        try:
            scale = Scale(store, milvus, Redis.from_url(redis.url), gallery)
            await scale.create(gallery.queries.shape[1])
            for size in sorted(sizes):
                with disturbance() as disturbed:
                    grown = await scale.grow(size)
                    figures = None if results.has(size) else await scale.measured(*grown)
                if figures is not None:
                    results.add(figures, disturbed.share)
                    print(_line(figures), flush=True)
        finally:
            await store.close()
            redis.kill()


class Results:
    """The file of one engine's figures; each size is written when it is done."""

    def __init__(self, engine: str) -> None:
        self._engine = engine
        self._file = ROOT / "docs" / "results" / f"scale-{engine}.json"
        self._sizes: dict[str, Any] = json.loads(self._file.read_text())["sizes"] if self._file.exists() else {}

    def has(self, size: int) -> bool:
        """Whether a size was measured before; remove it from the file to measure it again."""
        return str(size) in self._sizes

    def add(self, figures: SizeFigures, disturbance_share: float) -> None:
        """Write a size."""
        self._sizes[str(figures.images)] = {**asdict(figures), "disturbance": round(disturbance_share, 3)}
        page = {
            "sizes": dict(sorted(self._sizes.items(), key=lambda each: int(each[0]))),
            "command": f"python -m benchmarks.scale --engine {self._engine}",
            "machine": {"cores": os.cpu_count(), "processor": platform.machine(), "python": platform.python_version()},
            "versions": {name: version(name) for name in ("pymilvus", "redis", "milvus", "milvus-lite")},
        }
        self._file.write_text(json.dumps(page, indent=1) + "\n")


def _line(figures: SizeFigures) -> str:
    waited = ", ".join(
        f"{count} callers p50 {each.p50_ms:.1f} p99 {each.p99_ms:.1f} ms {each.per_s:.0f}/s"
        for count, each in figures.callers.items()
    )
    return (
        f"{figures.images:9,} {figures.index:8} recall {figures.recall:.4f}, {waited}; put {figures.put_per_s:.0f}/s, "
        f"index {figures.index_s:.0f} s; Milvus {figures.milvus_mib:.0f} MiB, {figures.milvus_disk_bytes:.0f} bytes of disk "
        f"an image; Redis {figures.redis_bytes:.0f} bytes an image"
    )


def main() -> None:
    """Reads the command line and measures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--engine", choices=["server", "lite"], default="server")
    parser.add_argument("--sizes", type=int, nargs="+", default=[20_000, 200_000])
    parser.add_argument("--folder", type=Path, default=ROOT / "data" / "scale")
    arguments = parser.parse_args()
    gallery = Gallery(Bundle.load(ROOT / "models" / "general-2"), arguments.folder)
    asyncio.run(_measure(arguments.engine, arguments.sizes, gallery, Results(arguments.engine)))


if __name__ == "__main__":
    main()
