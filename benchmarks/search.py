"""Search beside the sum of its parts: one caller asks for one image, then encoder, Milvus and Redis are asked alone."""

import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path
from random import Random
from statistics import median
from typing import Any

import grpc
import numpy as np
import numpy.typing as npt
from pymilvus import MilvusClient
from redis import Redis

from benchmarks.measure import called_in_turn, durations, p50_each
from fovea.encoder.v1 import encoder_pb2, encoder_pb2_grpc
from fovea.ingest.v1 import ingest_pb2, ingest_pb2_grpc
from fovea.search.v1 import search_pb2, search_pb2_grpc

COLLECTION = "bench_search"
_LIMIT = 10
TURNS = 100
# Search fetches some rows more than it answers: they may be out of date, or copies.
_CANDIDATES = 20

Embedding = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class SearchFigures:
    """Ratios of medians, and the medians in milliseconds.

    For `search_over_parts` whole and parts are called in turn, so that each meets the machine as a request does: a
    server that answers nothing else finds its caches warm. `search_over_parts_hot` sets the search beside parts that
    are called in hot loops of their own.
    """

    search_over_parts: float
    search_over_parts_hot: float
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
        embeddings = _embeddings(encoder_channel, encoder, queries)
        parts = {
            "search": _search(search_channel, queries),
            "encode": _encode(encoder_channel, encoder, queries),
            "milvus": _milvus(run["milvus"], embeddings),
            "redis": _redis(run["redis"]),
        }
        in_turn = [p50_each(called_in_turn(parts, turns=TURNS)) for _ in range(pairs)]
        hot = [p50_each({name: durations(call, for_s=seconds) for name, call in parts.items()}) for _ in range(pairs)]
    medians = {name: 1000 * median(each[name] for each in in_turn) for name in parts}
    return SearchFigures(
        median(map(_over_parts, in_turn)),
        median(map(_over_parts, hot)),
        medians["search"],
        medians["encode"],
        medians["milvus"],
        medians["redis"],
    )


def _over_parts(p50s: dict[str, float]) -> float:
    return p50s["search"] / (p50s["encode"] + p50s["milvus"] + p50s["redis"])


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
    stub, turn = search_pb2_grpc.SearchServiceStub(channel), cycle(queries)
    return lambda: stub.Search(
        search_pb2.SearchRequest(collection=COLLECTION, parts=[search_pb2.QueryPart(image=next(turn))], limit=_LIMIT)
    )


def _encode(channel: grpc.Channel, encoder: str, queries: list[bytes]) -> Callable[[], object]:
    stub, turn = encoder_pb2_grpc.EncoderServiceStub(channel), cycle(queries)
    return lambda: stub.Encode(encoder_pb2.EncodeRequest(encoder=encoder, inputs=[encoder_pb2.Input(image=next(turn))]))


def _embeddings(channel: grpc.Channel, encoder: str, queries: list[bytes]) -> list[Embedding]:
    """The embeddings that search looks for, so that Milvus alone does the same work."""
    inputs = [encoder_pb2.Input(image=query) for query in queries]
    request = encoder_pb2.EncodeRequest(encoder=encoder, inputs=inputs)
    response = encoder_pb2_grpc.EncoderServiceStub(channel).Encode(request)
    return [np.frombuffer(result.embedding, dtype="<f4") for result in response.results]


def _milvus(uri: str, embeddings: list[Embedding]) -> Callable[[], object]:
    client, turn = MilvusClient(uri), cycle(embeddings)
    return lambda: client.search(
        f"fovea_{COLLECTION}",
        data=[next(turn)],
        limit=_CANDIDATES,
        search_params={"params": {"ef": 64}},
        consistency_level="Bounded",
    )


def _redis(url: str) -> Callable[[], object]:
    """Looks up as many records as search does, spread over the shards by chance as ids are."""
    client = Redis.from_url(url)
    stored = [
        (shard, image_id)
        for shard in client.scan_iter(match=f"*{COLLECTION}*live*")
        for image_id in client.hkeys(shard)
    ]
    random = Random(7)

    def look_up() -> object:
        ids_of: dict[bytes | str, list[bytes | str]] = defaultdict(list)
        for shard, image_id in random.sample(stored, _CANDIDATES):
            ids_of[shard].append(image_id)
        pipeline = client.pipeline(transaction=False)
        for shard, ids in ids_of.items():
            pipeline.hmget(shard, ids)
        return pipeline.execute()

    return look_up
