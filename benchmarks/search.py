"""Search beside the sum of its parts: one caller asks for one picture, then encoder, Milvus and Redis are asked alone."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import grpc
import numpy as np
from pymilvus import MilvusClient
from redis import Redis

from benchmarks.measure import durations, p50
from fovea.encoder.v1 import encoder_pb2, encoder_pb2_grpc
from fovea.ingest.v1 import ingest_pb2, ingest_pb2_grpc
from fovea.search.v1 import search_pb2, search_pb2_grpc

COLLECTION = "bench_search"
_LIMIT = 10


@dataclass(frozen=True, slots=True)
class SearchFigures:
    """`search_over_parts` is a ratio of medians; the rest are medians in milliseconds."""

    search_over_parts: float
    search_ms: float
    encode_ms: float
    milvus_ms: float
    redis_ms: float


def measure_search(
    run: dict[str, Any], photos: list[Path], *, encoder: str, pairs: int, seconds: float
) -> SearchFigures:
    """Fills a collection with the photos and measures whole and parts in turn."""
    fill(run["ingest"], COLLECTION, photos, encoder=encoder)
    queries = [photo.read_bytes() for photo in photos[:50]]
    with (
        grpc.insecure_channel(run["search"]) as search_channel,
        grpc.insecure_channel(run["encoders"][encoder]) as encoder_channel,
    ):
        parts = {
            "search": _search(search_channel, queries),
            "encode": _encode(encoder_channel, queries),
            "milvus": _milvus(run["milvus"]),
            "redis": _redis(run["redis"]),
        }
        rounds = [{name: p50(durations(call, for_s=seconds)) for name, call in parts.items()} for _ in range(pairs)]
    ratios = [each["search"] / (each["encode"] + each["milvus"] + each["redis"]) for each in rounds]
    medians = {name: 1000 * median(each[name] for each in rounds) for name in parts}
    return SearchFigures(median(ratios), medians["search"], medians["encode"], medians["milvus"], medians["redis"])


def fill(target: str, collection: str, photos: list[Path], *, encoder: str) -> float:
    """Ingests the photos into a new collection; returns the seconds from the first item to the last answer."""
    with grpc.insecure_channel(target) as channel:
        stub = ingest_pb2_grpc.IngestServiceStub(channel)
        stub.CreateCollection(
            ingest_pb2.CreateCollectionRequest(collection=ingest_pb2.Collection(name=collection, encoder=encoder))
        )
        started_s = time.perf_counter()
        statuses = [answer.status for answer in stub.Ingest(_items(collection, photos))]
        took_s = time.perf_counter() - started_s
    if statuses != [ingest_pb2.INGEST_STATUS_ADDED] * len(photos):
        raise RuntimeError(f"{collection}: not every photo was added")
    return took_s


def _items(collection: str, photos: list[Path]) -> Iterator[ingest_pb2.IngestRequest]:
    for photo in photos:
        item = ingest_pb2.Item(uri=str(photo), image=photo.read_bytes())
        yield ingest_pb2.IngestRequest(collection=collection, item=item)


def _search(channel: grpc.Channel, queries: list[bytes]) -> Callable[[], object]:
    stub, turn = search_pb2_grpc.SearchServiceStub(channel), _endless(queries)
    return lambda: stub.Search(
        search_pb2.SearchRequest(collection=COLLECTION, parts=[search_pb2.QueryPart(image=next(turn))], limit=_LIMIT)
    )


def _encode(channel: grpc.Channel, queries: list[bytes]) -> Callable[[], object]:
    stub, turn = encoder_pb2_grpc.EncoderServiceStub(channel), _endless(queries)
    return lambda: stub.Encode(encoder_pb2.EncodeRequest(inputs=[encoder_pb2.Input(image=next(turn))]))


def _milvus(uri: str) -> Callable[[], object]:
    client = MilvusClient(uri)
    name = f"fovea_{COLLECTION}"
    [field] = [each for each in client.describe_collection(name)["fields"] if "dim" in each.get("params", {})]
    embedding = np.random.default_rng(7).standard_normal(field["params"]["dim"]).astype(np.float32)
    embedding /= np.linalg.norm(embedding)
    return lambda: client.search(name, data=[embedding], limit=_LIMIT, consistency_level="Bounded")


def _redis(url: str) -> Callable[[], object]:
    client = Redis.from_url(url)
    shards = list(client.scan_iter(match=f"*{COLLECTION}*live*"))
    ids = {shard: list(client.hkeys(shard))[:1] for shard in sorted(shards)[:_LIMIT]}

    def look_up() -> object:
        pipeline = client.pipeline(transaction=False)
        for shard, wanted in ids.items():
            pipeline.hmget(shard, wanted)
        return pipeline.execute()

    return look_up


def _endless(queries: list[bytes]) -> Iterator[bytes]:
    while True:
        yield from queries
