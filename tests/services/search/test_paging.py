"""Page tokens: pages follow each other without gaps, on any replica, and nobody's own token is more than a wrong argument."""

import base64
from typing import TYPE_CHECKING, Any

import grpc
import pytest
from PIL import Image
from redis import Redis

from fovea.ingest.v1 import ingest_pb2
from fovea.search.v1 import search_pb2
from services.search.embedding_cache import LOOKUPS
from tests.support.images import encoded, plain
from tests.support.services import Stores, add, create, ingest_stub, item, search_stub

if TYPE_CHECKING:
    from fovea.ingest.v1.ingest_pb2_grpc import IngestServiceAsyncStub
    from fovea.search.v1.search_pb2_grpc import SearchServiceAsyncStub

QUERY = search_pb2.QueryPart(image=encoded(plain("red")))
STRANGE = "made up"
# Too long for a token of 8 KiB in UTF-8, and true of every image.
LARGE_FILTER = f'$uri != "{"€" * 3000}"'


@pytest.fixture
async def shades(ingest: "IngestServiceAsyncStub", name: str) -> str:
    """A collection of 23 images."""
    await create(ingest, name)
    await add(
        ingest, name, *(item(f"{n:02}", encoded(Image.new("RGB", (64, 48), (200, 9 * n, 4 * n)))) for n in range(23))
    )
    return name


async def found(search: "SearchServiceAsyncStub", name: str, **fields: Any) -> search_pb2.SearchResponse:
    return await search.Search(search_pb2.SearchRequest(collection=name, **fields))


async def refusal(search: "SearchServiceAsyncStub", name: str, **fields: Any) -> str:
    """The sentence with which a page is refused."""
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await found(search, name, **fields)
    assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    return str(refused.value.details())


def uris(response: search_pb2.SearchResponse) -> list[str]:
    return [hit.uri for hit in response.hits]


async def test_pages_follow_each_other_on_any_replica_and_encode_nothing(
    search: "SearchServiceAsyncStub", stores: Stores, shades: str
) -> None:
    """The token alone is enough: a service that knows no encoder gives all further pages, of another size if asked to."""
    whole = uris(await found(search, shades, parts=[QUERY], limit=100, min_score=0.1))
    response = await found(search, shades, parts=[QUERY], limit=4, min_score=0.1, filter="$uri != '05'")
    encoded_before = LOOKUPS.labels("hit")._value.get() + LOOKUPS.labels("miss")._value.get()
    seen = uris(response)
    async with search_stub(stores, "127.0.0.1:1") as other:
        response = await found(other, shades, page_token=response.next_page_token)
        assert len(response.hits) == 4
        seen += uris(response)
        while response.next_page_token:
            response = await found(other, shades, page_token=response.next_page_token, limit=5)
            seen += uris(response)
    assert seen == [uri for uri in whole if uri != "05"]
    assert LOOKUPS.labels("hit")._value.get() + LOOKUPS.labels("miss")._value.get() == encoded_before


async def test_the_last_page_has_no_token(search: "SearchServiceAsyncStub", shades: str) -> None:
    """Also where the hits fill the page exactly; a page begun by offset has one like any other."""
    assert not (await found(search, shades, parts=[QUERY], limit=23)).next_page_token
    assert not (await found(search, shades, parts=[QUERY], limit=3, offset=20)).next_page_token
    whole = uris(await found(search, shades, parts=[QUERY], limit=23))
    middle = await found(search, shades, parts=[QUERY], limit=3, offset=10)
    assert uris(await found(search, shades, page_token=middle.next_page_token)) == whole[13:16]


async def test_what_is_written_between_two_pages_shifts_none(
    search: "SearchServiceAsyncStub", ingest: "IngestServiceAsyncStub", shades: str
) -> None:
    """Better images that come meanwhile make no hit come twice."""
    whole = uris(await found(search, shades, parts=[QUERY], limit=23))
    first = await found(search, shades, parts=[QUERY], limit=5)
    await add(ingest, shades, *(item(f"new {n}", encoded(plain("red", size=(20 + n, 30)))) for n in range(9)))
    assert uris(await found(search, shades, page_token=first.next_page_token)) == whole[5:10]


async def test_large_queries_are_kept_for_their_next_pages(
    search: "SearchServiceAsyncStub", stores: Stores, shades: str
) -> None:
    """Their tokens are short, work on another replica, and say so when the query is forgotten."""
    whole = uris(await found(search, shades, parts=[QUERY], limit=23))
    first = await found(search, shades, parts=[QUERY], limit=5, filter=LARGE_FILTER)
    assert 0 < len(first.next_page_token) < 100
    async with search_stub(stores, "127.0.0.1:1") as other:
        assert uris(await found(other, shades, page_token=first.next_page_token)) == whole[5:10]
    redis = Redis.from_url(stores.redis_url)
    kept = list(redis.scan_iter(match="fovea:query:*"))
    assert all(0 < redis.ttl(key) <= 600 for key in kept)
    redis.delete(*kept)
    assert "ten minutes" in await refusal(search, shades, page_token=first.next_page_token)


async def test_a_query_that_cannot_be_kept_is_answered_with_a_warning(
    encoder: str, stores: Stores, shades: str
) -> None:
    """Without Redis there are hits, and no token for a query that is too large for one."""
    async with search_stub(Stores(stores.milvus_uri, "redis://127.0.0.1:1"), encoder) as search:
        response = await found(search, shades, parts=[QUERY], limit=5, filter=LARGE_FILTER)
        small = await found(search, shades, parts=[QUERY], limit=5)
    assert len(response.hits) == 5
    assert not response.next_page_token
    assert any("use offset" in warning for warning in response.warnings)
    assert small.next_page_token


async def test_a_strangers_token_is_a_wrong_argument(
    search: "SearchServiceAsyncStub", ingest: "IngestServiceAsyncStub", stores: Stores, encoder: str, shades: str
) -> None:
    """Made up, changed, too long, of another collection, or of one that was dropped: INVALID_ARGUMENT and one sentence."""
    token = (await found(search, shades, parts=[QUERY], limit=5)).next_page_token
    other = f"{shades[:40]}_other"
    await create(ingest, other)
    sealed = bytearray(base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)))
    changed = []
    for position in (0, 3, 30, len(sealed) - 1):
        sealed[position] ^= 1
        changed.append(base64.urlsafe_b64encode(sealed).decode())
        sealed[position] ^= 1
    for stranger in ("x", "é", "\n", "AQ", token[:-8], token + "AAAA", token * 9, "A" * 8193, *changed):
        assert "page_token" in await refusal(search, shades, page_token=stranger)
    assert "page_token" in await refusal(search, other, page_token=token)
    async with ingest_stub(stores, encoder) as again:
        await again.DeleteCollection(ingest_pb2.DeleteCollectionRequest(name=shades))
        await create(again, shades)
    async with search_stub(stores, encoder) as fresh:
        assert "page_token" in await refusal(fresh, shades, page_token=token)


@pytest.mark.parametrize(
    "beside", [{"offset": 5}, {"parts": [QUERY]}, {"filter": "a = 1"}, {"exact": True}, {"fold_copies": True}]
)
async def test_nothing_but_a_limit_stands_beside_a_token(
    search: "SearchServiceAsyncStub", shades: str, beside: dict[str, Any]
) -> None:
    """The query is in the token; what else is sent is named."""
    token = (await found(search, shades, parts=[QUERY], limit=5)).next_page_token
    sentence = await refusal(search, shades, page_token=token, **beside)
    assert sentence.startswith(next(iter(beside)))
    assert "limit" in await refusal(search, shades, page_token=token, limit=-1)


async def test_pages_in_a_batch_fail_alone(search: "SearchServiceAsyncStub", shades: str) -> None:
    """A query of a batch may be a next page; one with a wrong token is the only one that fails."""
    first = await found(search, shades, parts=[QUERY], limit=5)
    queries = [
        search_pb2.SearchRequest(page_token=first.next_page_token),
        search_pb2.SearchRequest(page_token=STRANGE),
        search_pb2.SearchRequest(parts=[QUERY], limit=5),
    ]
    results = (await search.BatchSearch(search_pb2.BatchSearchRequest(collection=shades, queries=queries))).results
    assert [result.WhichOneof("outcome") for result in results] == ["response", "error", "response"]
    assert uris(results[2].response) == uris(first)
    assert not set(uris(results[0].response)) & set(uris(first))
