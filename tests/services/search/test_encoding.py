"""The same content is encoded once: for later queries, for concurrent ones, and within one."""

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, cast

import grpc
import numpy as np
import pytest

from fovea.search.v1 import search_pb2
from fovea.types.v1 import types_pb2
from rpc.clients import Embedded, Encoded, EncoderClient, EncoderInfo, Input
from rpc.deadline import Deadline
from rpc.directory import ServedBundle
from services.search.embedding_cache import LOOKUPS, EmbeddingCache, keys_of
from services.search.encoding import PartEncoder
from services.search.planner import EncodedPart
from tests.support.bundles import tiny_image_bundle
from tests.support.images import corners, encoded, plain
from tests.support.services import Stores, add, create, encoder_process, ingest_stub, item, search_stub

if TYPE_CHECKING:
    from fovea.ingest.v1.ingest_pb2_grpc import IngestServiceAsyncStub
    from fovea.search.v1.search_pb2_grpc import SearchServiceAsyncStub

INFO = EncoderInfo(
    name="slow",
    version="1",
    space="s",
    dimension=2,
    modalities=frozenset({"image"}),
    precision="fp32",
    provider="CPU",
    sha256="0" * 64,
)
EMBEDDED = Embedded(np.array([1, 0], dtype=np.float32), ("a warning",))
SOON = 20.0


class SlowClient:
    """An encoder whose calls wait for `may_answer`."""

    def __init__(self) -> None:
        self.calls: list[Sequence[Input]] = []
        self.was_called = asyncio.Event()
        self.may_answer = asyncio.Event()

    async def encode(self, inputs: Sequence[Input], *, encoder: str, deadline: Deadline) -> Encoded:
        """As EncoderClient does."""
        assert encoder == "slow"
        self.calls.append(inputs)
        self.was_called.set()
        await asyncio.wait_for(self.may_answer.wait(), deadline.left_s())
        return Encoded("s", (EMBEDDED,) * sum(each.result_count for each in inputs))


@pytest.fixture
def client() -> SlowClient:
    return SlowClient()


def a_part(client: SlowClient, content: bytes, *regions: tuple[float, float, float, float]) -> EncodedPart:
    return EncodedPart(ServedBundle(cast("EncoderClient", client), INFO), Input(content, "image", regions))


def lookups() -> tuple[float, float]:
    """How often contents were known, and not."""
    hits, misses = (LOOKUPS.labels(outcome)._value.get() for outcome in ("hit", "miss"))
    return hits, misses


async def photos(ingest: "IngestServiceAsyncStub", name: str) -> None:
    await create(ingest, name)
    await add(ingest, name, *(item(colour, encoded(plain(colour))) for colour in ("red", "green", "blue")))


async def found(search: "SearchServiceAsyncStub", name: str, **part: object) -> list[tuple[str, float]]:
    request = search_pb2.SearchRequest(collection=name, parts=[search_pb2.QueryPart(**part)])  # type: ignore[arg-type]
    return [(hit.uri, hit.score) for hit in (await search.Search(request)).hits]


async def test_a_known_query_needs_no_encoder(stores: Stores, name: str, tmp_path: Path) -> None:
    """What was encoded once is found again when the encoder is gone; another region of it is another content."""
    bundle = tiny_image_bundle(tmp_path / "tiny")
    image = encoded(corners())
    with encoder_process(tmp_path / "log", bundle.folder) as address:
        async with ingest_stub(stores, address) as ingest:
            await photos(ingest, name)
        stub = search_stub(stores, address)
        search = await stub.__aenter__()
        first = await found(search, name, image=image)
    try:
        assert await found(search, name, image=image) == first
        for part in ({"image": encoded(plain("red"))}, {"image": image, "region": types_pb2.Box(x_max=0.5, y_max=1)}):
            with pytest.raises(grpc.aio.AioRpcError) as refused:
                await found(search, name, **part)
            assert refused.value.code() is grpc.StatusCode.UNAVAILABLE
    finally:
        await stub.__aexit__(None, None, None)


async def test_concurrent_queries_of_one_content_encode_it_once(
    search: "SearchServiceAsyncStub", ingest: "IngestServiceAsyncStub", name: str
) -> None:
    """Eight callers with one image at the same time are one miss; a broken image is never remembered."""
    await photos(ingest, name)
    hits, misses = lookups()
    image = encoded(plain("red", size=(31, 17)))
    answers = await asyncio.gather(*(found(search, name, image=image) for _ in range(8)))
    assert answers == answers[:1] * 8
    assert lookups() == (hits + 7, misses + 1)
    for _ in range(2):
        with pytest.raises(grpc.aio.AioRpcError):
            await found(search, name, image=b"no image")
    assert lookups() == (hits + 7, misses + 3)


async def test_an_image_travels_once_for_its_missing_regions(client: SlowClient) -> None:
    """Equal parts are encoded once; of an image only the regions that are not known are encoded, in one input."""
    encoder = PartEncoder(EmbeddingCache(1 << 20))
    client.may_answer.set()
    left, right = (0.0, 0.0, 0.5, 1.0), (0.5, 0.0, 1.0, 1.0)
    parts = [a_part(client, b"x"), a_part(client, b"x"), a_part(client, b"x", left), a_part(client, b"y", left, right)]
    outcomes, _ = await encoder.encode(parts, space="s", deadline=Deadline.after(SOON))
    assert [len(each) for each in outcomes] == [1, 1, 1, 2]
    assert [list(call) for call in client.calls] == [
        [Input(b"x"), Input(b"x", "image", (left,)), Input(b"y", "image", (left, right))]
    ]
    await encoder.encode([a_part(client, b"x", right, left)], space="s", deadline=Deadline.after(SOON))
    assert list(client.calls[1]) == [Input(b"x", "image", (right,))]


async def test_who_waits_for_another_query_goes_on_alone_when_that_one_leaves(client: SlowClient) -> None:
    """A cancelled caller costs those who wait for the same content nothing but another call."""
    encoder = PartEncoder(EmbeddingCache(1 << 20))
    queries = [
        asyncio.create_task(encoder.encode([a_part(client, b"x")], space="s", deadline=Deadline.after(SOON)))
        for _ in range(3)
    ]
    await client.was_called.wait()
    queries[0].cancel()
    await asyncio.wait([queries[0]])
    client.may_answer.set()
    for query in queries[1:]:
        assert (await query)[0] == [[EMBEDDED]]
    assert len(client.calls) == 2


async def test_the_cache_keeps_what_was_used_last() -> None:
    """It stays within its bytes, and of two entries the one that was asked for stays."""
    one, two, three = [(await keys_of(Input(content), INFO))[0] for content in (b"1", b"2", b"3")]
    cache = EmbeddingCache(2 * 1000)
    for key in (one, two):
        cache.put(key, EMBEDDED)
        cache.put(key, EMBEDDED)
    assert cache.get(one)
    cache.put(three, EMBEDDED)
    assert (cache.get(one), cache.get(two), cache.get(three)) == (EMBEDDED, None, EMBEDDED)
    nothing = EmbeddingCache(0)
    nothing.put(one, EMBEDDED)
    assert nothing.get(one) is None
