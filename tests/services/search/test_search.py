"""Queries by image, by stored image, by words, by embedding, by region, and mixtures of them find the right images."""

import asyncio
import hashlib
import uuid
from typing import TYPE_CHECKING, Any

import grpc
import numpy as np
import pytest

from fovea.search.v1 import search_pb2
from fovea.types.v1 import types_pb2
from rpc.errors import InvalidArgument, from_status, service_errors
from tests.support.bundles import tiny_image_bundle
from tests.support.images import blocks, corners, drawing, encoded, plain
from tests.support.services import Stores, add, create, encoder_process, ingest_stub, item, search_stub

if TYPE_CHECKING:
    from fovea.ingest.v1.ingest_pb2_grpc import IngestServiceAsyncStub
    from fovea.search.v1.search_pb2_grpc import SearchServiceAsyncStub

COLOURS = ("red", "green", "blue", "yellow", "white", "black")
PLAIN = {colour: encoded(plain(colour)) for colour in COLOURS}


async def fill(ingest: "IngestServiceAsyncStub", name: str) -> None:
    """Make a collection of a plain image of each colour and one with a colour in each corner."""
    await create(ingest, name)
    items = [item(colour, data, colour=colour, number=n) for n, (colour, data) in enumerate(PLAIN.items())]
    answers = await add(ingest, name, *items, item("corners", encoded(corners())))
    assert all(not answer.HasField("error") for answer in answers)


@pytest.fixture(scope="module")
def photos(stores: Stores, encoder: str) -> str:
    """A filled collection that no test changes."""

    async def filled() -> str:
        name = f"photos_{uuid.uuid4().hex}"
        async with ingest_stub(stores, encoder) as ingest:
            await fill(ingest, name)
        return name

    return asyncio.run(filled())


@pytest.fixture
async def own_photos(ingest: "IngestServiceAsyncStub", name: str) -> str:
    """A filled collection for one test to change."""
    await fill(ingest, name)
    return name


def image_id(uri: str) -> str:
    return hashlib.sha256(uri.encode()).hexdigest()[:32]


def part(**fields: Any) -> search_pb2.QueryPart:
    return search_pb2.QueryPart(**fields)


async def found(
    search: "SearchServiceAsyncStub", name: str, *parts: search_pb2.QueryPart, **fields: Any
) -> search_pb2.SearchResponse:
    return await search.Search(search_pb2.SearchRequest(collection=name, parts=parts, **fields))


async def uris(search: "SearchServiceAsyncStub", name: str, *parts: search_pb2.QueryPart, **fields: Any) -> list[str]:
    return [hit.uri for hit in (await found(search, name, *parts, **fields)).hits]


async def refusal(search: "SearchServiceAsyncStub", request: search_pb2.SearchRequest) -> tuple[str, str]:
    """The status and the sentence with which a query is refused."""
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await search.Search(request)
    return refused.value.code().name, str(refused.value.details())


async def test_a_image_finds_itself_first(search: "SearchServiceAsyncStub", photos: str) -> None:
    """The stored copy of a query scores 1, everything else less, and the answer says where the time went."""
    response = await found(search, photos, part(image=PLAIN["red"]))
    assert response.hits[0].uri == "red"
    assert len(response.hits) == 7
    scores = [hit.score for hit in response.hits]
    assert scores[0] == pytest.approx(1, abs=1e-4)
    assert scores == sorted(scores, reverse=True)
    first = response.hits[0]
    assert (first.image_id, dict(first.metadata)) == (image_id("red"), {"colour": "red", "number": 0})
    assert not first.HasField("region")
    assert not first.HasField("query_region")
    assert response.space
    timings = response.timings
    assert 0 < timings.encode_ms < timings.total_ms
    assert 0 < timings.vector_search_ms < timings.total_ms
    [call] = timings.encoders
    assert (call.encoder, call.input_count) == ("tiny", 1)
    assert 0 < call.infer_ms <= call.call_ms <= timings.encode_ms
    assert not (await found(search, photos, part(image=PLAIN["red"]))).timings.encoders


async def test_every_kind_of_part_asks_the_same_question(search: "SearchServiceAsyncStub", photos: str) -> None:
    """Bytes, a stored image, an embedding and a word for it find the same image first."""
    for colour in ("red", "green", "blue"):
        ranking = await uris(search, photos, part(image=PLAIN[colour]))
        assert ranking[0] == colour
        assert await uris(search, photos, part(image_id=image_id(colour))) == ranking
        assert (await uris(search, photos, part(text=colour)))[0] == colour


async def test_an_embedding_is_searched_by_its_direction(
    search: "SearchServiceAsyncStub", photos: str, encoder: str
) -> None:
    """A caller's own embedding of any length asks for its direction; one that cannot be compared is refused."""
    embedding = np.zeros(16, dtype="<f4")
    embedding[3] = 7.0
    response = await found(search, photos, part(embedding=embedding.tobytes()))
    assert len(response.hits) == 7
    assert all(-1.001 <= hit.score <= 1.001 for hit in response.hits)
    unit = await found(search, photos, part(embedding=(embedding / 7).tobytes()))
    assert [(hit.uri, hit.score) for hit in unit.hits] == [(hit.uri, hit.score) for hit in response.hits]
    for data, words in ((embedding.tobytes()[:-1], "64 bytes"), (b"\0" * 64, "zeros"), (b"\xff" * 64, "finite")):
        request = search_pb2.SearchRequest(collection=photos, parts=[part(embedding=data)])
        code, sentence = await refusal(search, request)
        assert code == "INVALID_ARGUMENT"
        assert sentence.startswith("parts[0].embedding: ")
        assert words in sentence


async def test_a_region_is_a_query_of_its_own(search: "SearchServiceAsyncStub", photos: str) -> None:
    """The green corner of an image finds green."""
    box = types_pb2.Box(x_min=0.55, y_min=0.05, x_max=0.95, y_max=0.45)
    assert (await uris(search, photos, part(image=encoded(corners()), region=box)))[0] == "green"


async def test_weight_0_is_absence_whatever_the_part_holds(search: "SearchServiceAsyncStub", photos: str) -> None:
    """A part of weight 0 is not even read."""
    alone = await found(search, photos, part(image=PLAIN["red"]))
    for absent in (part(image=b"garbage", weight=0), part(image_id="nobody", weight=0), part(weight=0)):
        with_it = await found(search, photos, part(image=PLAIN["red"]), absent)
        assert with_it.hits == alone.hits


async def test_parts_are_fused(search: "SearchServiceAsyncStub", photos: str) -> None:
    """Words and images mix, and a negative weight pushes its target down."""
    mixed = await uris(search, photos, part(image=PLAIN["red"]), part(text="green"))
    assert {"red", "green"} < set(mixed[:3])
    both = await found(search, photos, part(image=encoded(corners())))
    away = await found(search, photos, part(image=encoded(corners())), part(text="red", weight=-0.5))

    def score(response: search_pb2.SearchResponse) -> float:
        return next(hit.score for hit in response.hits if hit.uri == "red")

    assert score(away) < score(both)


@pytest.mark.parametrize(
    ("fields", "code", "words"),
    [
        ({"collection": ""}, "INVALID_ARGUMENT", "collection"),
        ({"collection": "unknown"}, "NOT_FOUND", "unknown"),
        ({"collection": "a' or 1"}, "INVALID_ARGUMENT", "collection"),
        ({"parts": []}, "INVALID_ARGUMENT", "parts"),
        ({"parts": [part(text="red")] * 17}, "INVALID_ARGUMENT", "parts"),
        ({"parts": [part()]}, "INVALID_ARGUMENT", "parts[0]"),
        ({"parts": [part(text="red", weight=0)]}, "INVALID_ARGUMENT", "parts"),
        ({"parts": [part(text="red"), part(text="red", weight=-1)]}, "INVALID_ARGUMENT", "cancel"),
        ({"parts": [part(text="red"), part(text="red", weight=float("nan"))]}, "INVALID_ARGUMENT", "parts[1].weight"),
        ({"parts": [part(text="red", weight=float("inf"))]}, "INVALID_ARGUMENT", "parts[0].weight"),
        ({"parts": [part(text="  ")]}, "INVALID_ARGUMENT", "parts[0].text"),
        ({"parts": [part(image=PLAIN["red"]), part(text="mauve taupe")]}, "INVALID_ARGUMENT", "(mauve, taupe)"),
        ({"filter": "id = 9007199254740993"}, "INVALID_ARGUMENT", "as text"),
        ({"parts": [part(image=b"")]}, "INVALID_ARGUMENT", "parts[0].image"),
        ({"parts": [part(text="red"), part(image=b"no image")]}, "INVALID_ARGUMENT", "parts[1].image"),
        ({"parts": [part(image=PLAIN["red"][:-40])]}, "INVALID_ARGUMENT", "parts[0].image"),
        ({"parts": [part(image=b"no image", detect=True)]}, "INVALID_ARGUMENT", "parts[0].image"),
        ({"parts": [part(sketch=encoded(drawing()))]}, "INVALID_ARGUMENT", "image, text, image_id or embedding"),
        ({"parts": [part(image_id="f" * 32)]}, "NOT_FOUND", "parts[0].image_id"),
        ({"parts": [part(image_id="../../etc")]}, "NOT_FOUND", "parts[0].image_id"),
        ({"limit": -1}, "INVALID_ARGUMENT", "limit"),
        ({"offset": -1}, "INVALID_ARGUMENT", "offset"),
        ({"offset": 10_001}, "INVALID_ARGUMENT", "offset"),
        ({"min_score": float("nan")}, "INVALID_ARGUMENT", "min_score"),
        ({"filter": "colour ="}, "INVALID_ARGUMENT", "filter"),
        ({"filter": "colour = 'red"}, "INVALID_ARGUMENT", "filter"),
        ({"filter": "x" * 5000}, "INVALID_ARGUMENT", "filter"),
    ],
)
async def test_bad_queries_get_one_useful_sentence(
    search: "SearchServiceAsyncStub", photos: str, fields: dict[str, Any], code: str, words: str
) -> None:
    """The status and the sentence name what is wrong, and the next query works."""
    request = search_pb2.SearchRequest(**{"collection": photos, "parts": [part(text="red")], **fields})
    refused, sentence = await refusal(search, request)
    assert refused == code
    assert words in sentence
    assert "\n" not in sentence
    assert await uris(search, photos, part(text="red"))


async def test_unknown_words_and_plain_names_of_built_in_fields_are_warned_of(
    search: "SearchServiceAsyncStub", photos: str
) -> None:
    """Unknown words are named in the warnings, and so is a filter's name that changed its meaning."""
    request = search_pb2.SearchRequest(
        collection=photos, parts=[part(text="red mauve")], filter="$uri = 'red' or label = 'x'"
    )
    response = await search.Search(request)
    assert [hit.uri for hit in response.hits] == ["red"]
    assert list(response.warnings) == [
        "unknown words: mauve",
        "filter: label is the metadata key label; for the built-in field write $label",
    ]


async def test_an_id_of_another_collection_is_not_found(
    search: "SearchServiceAsyncStub", ingest: "IngestServiceAsyncStub", photos: str, name: str
) -> None:
    """Collections do not see each other's images."""
    await create(ingest, name)
    await add(ingest, name, item("elsewhere", PLAIN["red"]))
    request = search_pb2.SearchRequest(collection=photos, parts=[part(image_id=image_id("elsewhere"))])
    assert (await refusal(search, request))[0] == "NOT_FOUND"


async def test_filters_choose_by_metadata_and_cannot_be_broken_out_of(
    search: "SearchServiceAsyncStub", photos: str
) -> None:
    """A filter filters; text that tries to be more than a text finds nothing or is refused."""
    query = part(image=PLAIN["red"])
    assert await uris(search, photos, query, filter='colour = "green"') == ["green"]
    assert set(await uris(search, photos, query, filter="number >= 2 and not colour = 'blue'")) == {
        "yellow",
        "white",
        "black",
    }
    for nasty in ('" or 1 == 1 or "', "' or '' == '", "\\", "\\'", "%", '"; drop', "red' || 'x' == 'x", "{0}", "\n"):
        literal = nasty.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
        assert await uris(search, photos, query, filter=f'colour = "{literal}"') == []
        assert len(await uris_or_none(search, photos, query, f"colour = '{nasty}'")) < 7


async def uris_or_none(
    search: "SearchServiceAsyncStub", name: str, query: search_pb2.QueryPart, text: str
) -> list[str]:
    """What a filter finds; nothing if it is refused as a bad filter."""
    try:
        return await uris(search, name, query, filter=text)
    except grpc.aio.AioRpcError as refused:
        if refused.code() != grpc.StatusCode.INVALID_ARGUMENT:
            raise
        return []


async def test_pages_follow_each_other_and_end(search: "SearchServiceAsyncStub", photos: str) -> None:
    """Pages add up to the whole; one past the end is empty; what scores too low is left out."""
    query = part(image=PLAIN["red"])
    whole = await uris(search, photos, query)
    pages = [await uris(search, photos, query, limit=3, offset=offset) for offset in (0, 3, 6, 9, 10_000)]
    assert pages == [whole[:3], whole[3:6], whole[6:], [], []]
    assert await uris(search, photos, query, limit=5000) == whole
    scores = [hit.score for hit in (await found(search, photos, query)).hits]
    assert await uris(search, photos, query, min_score=scores[2] - 1e-4) == whole[:3]
    assert await uris(search, photos, query, exact=True) == whole


async def test_copies_are_folded_into_one_hit(
    search: "SearchServiceAsyncStub", ingest: "IngestServiceAsyncStub", own_photos: str
) -> None:
    """The same bytes under two paths are two images and one hit, unless `fold_copies` is off."""
    await add(ingest, own_photos, item("red again", PLAIN["red"]))
    folded = await found(search, own_photos, part(image=PLAIN["red"]))
    assert len(folded.hits) == 7
    assert {folded.hits[0].uri, *folded.hits[0].copies} == {"red", "red again"}
    apart = await uris(search, own_photos, part(image=PLAIN["red"]), fold_copies=False)
    assert len(apart) == 8
    assert set(apart[:2]) == {"red", "red again"}


async def test_a_changed_file_is_found_by_its_new_content_only(
    search: "SearchServiceAsyncStub", ingest: "IngestServiceAsyncStub", own_photos: str
) -> None:
    """The old version is out of every answer as soon as the new one is acknowledged."""
    await add(ingest, own_photos, item("red", encoded(plain("blue", size=(50, 50)))))
    response = await found(search, own_photos, part(text="blue"))
    assert {hit.uri for hit in response.hits[:2]} == {"red", "blue"}
    assert [hit.uri for hit in response.hits].count("red") == 1


async def test_objects_are_found_by_object(
    search: "SearchServiceAsyncStub", ingest: "IngestServiceAsyncStub", name: str
) -> None:
    """The photo with the same object comes first, with the object's box and label; none is dropped."""
    await create(ingest, name, objects=True)
    red_blue = encoded(blocks({"red": (0.1, 0.1, 0.4, 0.5), "blue": (0.6, 0.5, 0.9, 0.9)}))
    green = encoded(blocks({"green": (0.2, 0.2, 0.7, 0.7)}))
    await add(ingest, name, item("red_blue", red_blue), item("green", green), item("white", PLAIN["white"]))

    first = (await found(search, name, part(image=PLAIN["blue"]))).hits[0]
    assert (first.uri, first.label) == ("red_blue", "blue")
    box = first.region
    assert (box.x_min, box.y_min, box.x_max, box.y_max) == pytest.approx((0.6, 0.5, 0.9, 0.9), abs=0.03)
    assert (await uris(search, name, part(image=PLAIN["white"])))[0] == "white"
    assert sorted(await uris(search, name, part(image=PLAIN["blue"]))) == ["green", "red_blue", "white"]
    regions = await uris(search, name, part(image=PLAIN["blue"]), group_by_image=False)
    assert sorted(regions) == ["green", "red_blue", "red_blue", "white"]

    stored = await found(search, name, part(image_id=image_id("red_blue")))
    assert sorted(region.label for region in stored.query_regions) == ["blue", "red"]
    assert stored.hits[0].uri == "red_blue"
    assert stored.hits[0].score == pytest.approx(1, abs=1e-4)


async def test_detect_makes_each_object_a_query(
    search: "SearchServiceAsyncStub", ingest: "IngestServiceAsyncStub", name: str
) -> None:
    """Each hit says which object of the query it matched; an image without objects is used whole, with a warning."""
    await create(ingest, name, objects=True)
    for colour in ("red", "blue"):
        await add(ingest, name, item(colour, encoded(blocks({colour: (0.2, 0.2, 0.7, 0.7)}))))
    query = encoded(blocks({"red": (0.1, 0.1, 0.4, 0.5), "blue": (0.6, 0.5, 0.9, 0.9)}))
    response = await found(search, name, part(image=query, detect=True))
    labels = [region.label for region in response.query_regions]
    assert sorted(labels) == ["blue", "red"]
    for hit in response.hits:
        assert hit.uri == hit.label == labels[hit.query_region]

    whole = await found(search, name, part(image=PLAIN["white"], detect=True))
    assert "no object was found, the whole image is used" in whole.warnings
    assert list(whole.query_regions) == []
    assert len(whole.hits) == 2


async def test_several_regions_stand_in_one_part_only(
    search: "SearchServiceAsyncStub", ingest: "IngestServiceAsyncStub", name: str
) -> None:
    """Crossing the regions of two parts, or pushing away from several, is refused with a sentence."""
    await create(ingest, name, objects=True)
    image = encoded(blocks({"red": (0.1, 0.1, 0.4, 0.5), "blue": (0.6, 0.5, 0.9, 0.9)}))
    await add(ingest, name, item("a", image))
    stored, detected = part(image_id=image_id("a")), part(image=image, detect=True)
    code, sentence = await refusal(search, search_pb2.SearchRequest(collection=name, parts=[stored, detected]))
    assert (code, "several regions" in sentence) == ("INVALID_ARGUMENT", True)
    stored.weight = -1
    parts = [part(text="red"), stored]
    code, sentence = await refusal(search, search_pb2.SearchRequest(collection=name, parts=parts))
    assert (code, sentence.startswith("parts[1].weight")) == ("INVALID_ARGUMENT", True)


async def test_a_batch_answers_each_query_as_alone(search: "SearchServiceAsyncStub", photos: str) -> None:
    """Queries of a batch get the answers that they would get alone, and bad ones fail alone."""
    queries = [
        search_pb2.SearchRequest(parts=[part(image=PLAIN[colour]), part(text="red", weight=0.5)], limit=3)
        for colour in COLOURS
    ]
    bad = [
        search_pb2.SearchRequest(),
        search_pb2.SearchRequest(parts=[part(image=b"no image")]),
        search_pb2.SearchRequest(parts=[part(text="red")], filter="x ="),
        search_pb2.SearchRequest(collection="other", parts=[part(text="red")]),
    ]
    request = search_pb2.BatchSearchRequest(collection=photos, queries=[*queries, *bad])
    results = (await search.BatchSearch(request)).results
    assert [result.WhichOneof("outcome") for result in results] == ["response"] * 6 + ["error"] * 4
    for query, result in zip(queries, results, strict=False):
        query.collection = photos
        alone = await search.Search(query)
        assert [hit.uri for hit in result.response.hits] == [hit.uri for hit in alone.hits]
        assert [hit.score for hit in result.response.hits] == pytest.approx([hit.score for hit in alone.hits], abs=1e-5)
    assert {result.error.code for result in results[6:]} == {grpc.StatusCode.INVALID_ARGUMENT.value[0]}
    for count, code in ((0, "INVALID_ARGUMENT"), (65, "INVALID_ARGUMENT")):
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await search.BatchSearch(search_pb2.BatchSearchRequest(collection=photos, queries=queries[:1] * count))
        assert refused.value.code().name == code


async def test_answers_over_the_message_limit_are_refused_with_what_to_do(
    ingest: "IngestServiceAsyncStub", stores: Stores, encoder: str, name: str
) -> None:
    """An answer too large for one message is an error; in a batch, only the results that no longer fit are errors."""
    await create(ingest, name)
    answers = await add(ingest, name, *(item(f"{n}", PLAIN["red"], note="x" * 14_000) for n in range(90)))
    assert all(not answer.HasField("error") for answer in answers)
    query = search_pb2.SearchRequest(parts=[part(image=PLAIN["red"])], limit=30, fold_copies=False)

    async with search_stub(stores, encoder, max_message_mib=1) as search:
        batch = search_pb2.BatchSearchRequest(collection=name, queries=[query] * 5)
        results = (await search.BatchSearch(batch)).results
        with pytest.raises(InvalidArgument, match="ask for fewer") as caught, service_errors("search"):
            await search.Search(
                search_pb2.SearchRequest(collection=name, parts=query.parts, limit=90, fold_copies=False)
            )

    assert [result.WhichOneof("outcome") for result in results] == ["response"] * 2 + ["error"] * 3
    assert {from_status(result.error).reason for result in results[2:]} == {caught.value.reason} == {"ANSWER_TOO_LARGE"}


async def test_a_deadline_is_kept(search: "SearchServiceAsyncStub", photos: str) -> None:
    """A caller with no time gets an answer in time."""
    request = search_pb2.SearchRequest(collection=photos, parts=[part(image=PLAIN["red"])])
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await search.Search(request, timeout=0.001)
    assert refused.value.code() == grpc.StatusCode.DEADLINE_EXCEEDED


async def test_too_many_callers_are_refused_at_once(stores: Stores, encoder: str, photos: str) -> None:
    """Over the limit a call is refused at once with a time to come back; the others are served."""
    async with search_stub(stores, encoder, max_in_flight=2) as search:
        request = search_pb2.SearchRequest(collection=photos, parts=[part(image=PLAIN["red"])])
        await search.Search(request)
        calls = [search.Search(request) for _ in range(40)]
        codes = [await call.code() for call in calls]
        refused = [call for call, code in zip(calls, codes, strict=True) if code != grpc.StatusCode.OK]
        assert 0 < len(refused) < 40
        for call in refused:
            assert await call.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
            assert dict(await call.trailing_metadata()).get("grpc-retry-pushback-ms")
        await search.Search(request)


async def test_another_model_under_the_same_name_is_refused(
    stores: Stores, name: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Embeddings of different spaces are never compared; a query that needs no encoder still works."""
    folder = tmp_path_factory.mktemp("swapped")
    first, second = (tiny_image_bundle(folder / f"d{size}", "tiny", size) for size in (16, 12))
    with encoder_process(folder / "first", first.folder) as address:
        async with ingest_stub(stores, address) as ingest:
            await create(ingest, name)
            await add(ingest, name, item("red", PLAIN["red"]))
    with encoder_process(folder / "second", second.folder) as address:
        async with search_stub(stores, address) as search:
            request = search_pb2.SearchRequest(collection=name, parts=[part(image=PLAIN["red"])])
            assert (await refusal(search, request))[0] == "FAILED_PRECONDITION"
            assert await uris(search, name, part(image_id=image_id("red"))) == ["red"]


async def test_an_encoder_that_is_away_is_unavailable(
    search: "SearchServiceAsyncStub", stores: Stores, photos: str
) -> None:
    """Without its encoder an image cannot be a query; a stored one can."""
    async with search_stub(stores, "127.0.0.1:1") as cut_off:
        request = search_pb2.SearchRequest(collection=photos, parts=[part(image=PLAIN["red"])])
        assert (await refusal(cut_off, request))[0] == "UNAVAILABLE"
        assert (await uris(cut_off, photos, part(image_id=image_id("red"))))[0] == "red"
