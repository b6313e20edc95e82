import base64
import json
from typing import Any

import httpx
import pytest

from tests.support.images import blocks, drawing, encoded, plain

RED, GREEN, BLUE = (encoded(plain(colour)) for colour in ("red", "green", "blue"))
RED_WIDTH_PX = 96
COLOURS = {"red": RED, "green": GREEN, "blue": BLUE}


@pytest.fixture
async def colours(http: httpx.AsyncClient, photos: str) -> dict[str, str]:
    """A collection of three plain images: the id of each colour's, and the collection's name under `name`."""
    files = [("images", (f"{colour}.png", image)) for colour, image in COLOURS.items()]
    metadata = json.dumps([{"colour": colour} for colour in COLOURS])
    response = await http.post(f"/collections/{photos}/images", files=files, data={"metadata": metadata})
    ids = [result["image_id"] for result in response.json()["results"]]
    return dict(zip(COLOURS, ids, strict=True)) | {"name": photos}


async def found(http: httpx.AsyncClient, name: str, **request: Any) -> list[str]:
    """The ids that a search finds, best first."""
    response = await http.post(f"/collections/{name}/search", **request)
    assert response.status_code == 200, response.text
    return [hit["image_id"] for hit in response.json()["hits"]]


async def refused(http: httpx.AsyncClient, name: str, **request: Any) -> tuple[int, str]:
    """The status and the sentence of a search that is refused."""
    response = await http.post(f"/collections/{name}/search", **request)
    assert response.headers["content-type"] == "application/problem+json"
    return response.status_code, response.json()["detail"]


async def test_image_in_a_form_finds_itself_first(http: httpx.AsyncClient, colours: dict[str, str]) -> None:
    """A hit carries what the contract names."""
    response = await http.post(
        f"/collections/{colours['name']}/search", files={"image": ("q.png", GREEN)}, data={"limit": "2"}
    )

    best, second = response.json()["hits"]
    assert best["image_id"] == colours["green"]
    assert best["score"] == pytest.approx(1, abs=1e-3)
    assert best["metadata"] == {"colour": "green"}
    assert second["score"] < best["score"]
    assert response.json()["timings"]["total_ms"] > 0


async def test_json_parts_find_the_same(http: httpx.AsyncClient, colours: dict[str, str]) -> None:
    """JSON carries bytes as base64, under proto names or in camel case."""
    image = {"image": base64.b64encode(BLUE).decode()}
    assert (await found(http, colours["name"], json={"parts": [image]}))[0] == colours["blue"]
    stored = {"imageId": colours["red"]}
    assert await found(http, colours["name"], json={"parts": [stored], "limit": 1}) == [colours["red"]]


async def test_a_data_uri_is_an_image_in_json(http: httpx.AsyncClient, colours: dict[str, str]) -> None:
    """As browsers and other APIs write one; a data URI in another encoding is refused by name."""
    uri = f"data:image/png;base64,{base64.b64encode(BLUE).decode()}"
    assert (await found(http, colours["name"], json={"parts": [{"image": uri}]}))[0] == colours["blue"]
    for name in ("image", "sketch"):
        status, detail = await refused(http, colours["name"], json={"parts": [{name: "data:image/png,blue"}]})
        assert (status, name in detail) == (400, True)


async def test_a_url_is_fetched_only_where_that_is_on(http: httpx.AsyncClient, colours: dict[str, str]) -> None:
    """Off by default, in JSON and in a form."""
    url = "https://images.example.org/a.jpg"
    for asked in ({"json": {"parts": [{"image_url": url}]}}, {"data": {"image_url": url}}):
        status, detail = await refused(http, colours["name"], **asked)
        assert (status, "image_url: fetching URLs is switched off" in detail) == (400, True)


async def test_stored_image_words_and_sketch_are_queries(http: httpx.AsyncClient, colours: dict[str, str]) -> None:
    """Each of a form's contents finds by itself."""
    name = colours["name"]
    assert (await found(http, name, data={"image_id": colours["blue"]}))[0] == colours["blue"]
    assert (await found(http, name, data={"text": "green"}))[0] == colours["green"]
    assert len(await found(http, name, files={"sketch": ("s.png", encoded(drawing()))})) == 3


async def test_weights_decide_between_contents(http: httpx.AsyncClient, colours: dict[str, str]) -> None:
    """A content of weight 0 counts as absent."""
    request = {"files": {"image": ("q.png", RED)}}
    words = await found(http, colours["name"], data={"text": "blue", "weights": '{"image": 0}'}, **request)
    image = await found(http, colours["name"], data={"text": "blue", "weights": '{"text": 0}'}, **request)

    assert (words[0], image[0]) == (colours["blue"], colours["red"])


@pytest.mark.parametrize(
    "region", ["0.5,0,1,1", "[0.5, 0, 1, 1]", '{"x_min": 0.5, "y_min": 0, "x_max": 1, "y_max": 1}']
)
async def test_region_is_what_is_looked_for(http: httpx.AsyncClient, colours: dict[str, str], region: str) -> None:
    """A region may be written as numbers, as a list or as a box."""
    halves = encoded(blocks({"red": (0, 0, 0.5, 1), "blue": (0.5, 0, 1, 1)}))
    ids = await found(http, colours["name"], files={"image": ("q.png", halves)}, data={"region": region})

    assert ids[0] == colours["blue"]


@pytest.mark.parametrize("box", [[0.5, 0, 1, 1], {"x_min": 0.5, "y_min": 0, "x_max": 1, "y_max": 1}])
async def test_regions_match_together_or_apart(http: httpx.AsyncClient, colours: dict[str, str], box: Any) -> None:
    """Several boxes are queries of their own; with `match` all, each hit says what each of them matched."""
    halves = encoded(blocks({"red": (0, 0, 0.5, 1), "blue": (0.5, 0, 1, 1)}))
    files, fields = {"image": ("q.png", halves)}, {"regions": json.dumps([[0, 0, 0.5, 1], box])}
    ids = await found(http, colours["name"], files=files, data=fields)
    assert set(ids[:2]) == {colours["red"], colours["blue"]}
    fields["match"] = "all"
    response = await http.post(f"/collections/{colours['name']}/search", files=files, data=fields)
    best = response.json()["hits"][0]
    assert [match["query_region"] for match in best["matches"]] == [0, 1]
    assert best["score"] == pytest.approx(min(match["score"] for match in best["matches"]))


async def test_pages_follow_by_token(http: httpx.AsyncClient, colours: dict[str, str]) -> None:
    """As a form or as JSON, the token and the address are all that the next page needs."""
    whole = await found(http, colours["name"], files={"image": ("q.png", RED)})
    path = f"/collections/{colours['name']}/search"
    first = (await http.post(path, files={"image": ("q.png", RED)}, data={"limit": "1"})).json()
    token = {"page_token": first["next_page_token"]}
    assert await found(http, colours["name"], data=token) == whole[1:2]
    assert await found(http, colours["name"], json=token | {"limit": 2}) == whole[1:]
    assert (await refused(http, colours["name"], data=token | {"text": "red"}))[0] == 400


async def test_hits_are_explained_spread_and_grouped(http: httpx.AsyncClient, colours: dict[str, str]) -> None:
    """The fields of the form reach the service, and its answers the caller."""
    fields = {"explain": "true", "diversity": "0.4", "group_near_duplicates": "true", "text": "green"}
    path = f"/collections/{colours['name']}/search"
    hits = (await http.post(path, files={"image": ("q.png", RED)}, data=fields)).json()["hits"]
    assert {hit["image_id"] for hit in hits} == set(colours.values()) - {colours["name"]}
    for hit in hits:
        assert sum(each["score"] for each in hit["contributions"]) == pytest.approx(hit["score"], abs=1e-3)
        assert hit["near_duplicates"] == []


async def test_facets_are_counted(http: httpx.AsyncClient, colours: dict[str, str]) -> None:
    """Of a collection with a GET, of hits beside them."""
    path = f"/collections/{colours['name']}"
    facets = (await http.get(f"{path}/facets", params={"field": ["colour", "price"]})).json()
    values = [{"value": colour, "count": 1} for colour in ("blue", "green", "red")]
    assert facets["facets"][0] == {"field": "colour", "values": values, "other_count": 0}
    assert (facets["facets"][1]["values"], facets["image_count"], facets["is_complete"]) == ([], 3, True)
    assert (await http.get(f"{path}/facets", params={"field": "$uri"})).status_code == 400
    assert (await http.get("/collections/nowhere/facets", params={"field": "a"})).status_code == 404
    answer = await http.post(f"{path}/search", files={"image": ("q.png", RED)}, data={"facets": "colour, $width_px"})
    assert answer.json()["facets"][1]["values"] == [{"value": RED_WIDTH_PX, "count": 3}]


async def test_filter_offset_and_min_score_narrow_the_answer(http: httpx.AsyncClient, colours: dict[str, str]) -> None:
    """The fields of the form reach the service."""
    request = {"files": {"image": ("q.png", RED)}}
    name = colours["name"]
    assert await found(http, name, data={"filter": 'colour = "green"'}, **request) == [colours["green"]]
    assert colours["red"] not in await found(http, name, data={"offset": "1", "exact": "true"}, **request)
    assert await found(http, name, data={"min_score": "0.99"}, **request) == [colours["red"]]


async def test_every_object_can_be_a_query(http: httpx.AsyncClient, name: str) -> None:
    """In an objects collection hits and query regions carry boxes."""
    await http.post(
        "/collections", json={"name": name, "encoder": "tiny", "mode": "objects", "detector": "tiny_detector"}
    )
    scene = encoded(blocks({"red": (0.1, 0.1, 0.4, 0.5), "blue": (0.6, 0.5, 0.9, 0.9)}))
    await http.post(f"/collections/{name}/images", files={"file": ("scene.png", scene)})
    response = await http.post(
        f"/collections/{name}/search", files={"image": ("q.png", scene)}, data={"detect": "true"}
    )

    answer = response.json()
    assert {region["label"] for region in answer["query_regions"]} == {"red", "blue"}
    assert answer["hits"][0]["label"] in {"red", "blue"}
    assert 0 <= answer["hits"][0]["region"]["x_min"] < answer["hits"][0]["region"]["x_max"] <= 1


async def test_undecodable_image_is_unsupported(http: httpx.AsyncClient, colours: dict[str, str]) -> None:
    """SVG is refused under any name, and the next request works."""
    status, detail = await refused(http, colours["name"], files={"image": ("q.png", b"<svg/>", "image/png")})

    assert status == 415
    assert "SVG" in detail
    assert await found(http, colours["name"], files={"image": ("q.png", RED)})


@pytest.mark.parametrize(
    ("data", "word"),
    [
        ({"limit": "many"}, "limit"),
        ({"limit": "-1"}, "limit"),
        ({"region": "0.5,0.5,0.1"}, "region"),
        ({"region": "{"}, "region"),
        ({"regions": "0,0,1,1"}, "regions"),
        ({"regions": "{}"}, "regions"),
        ({"regions": "[[0, 0, 1]]"}, "regions"),
        ({"match": "some"}, "match"),
        ({"page_token": "mine"}, "page_token"),
        ({"weights": "[1]"}, "weights"),
        ({"weights": '{"smell": 1}'}, "smell"),
        ({"weights": '{"image": NaN}'}, "weight"),
        ({"colour": "red"}, "colour"),
        ({"filter": "colour ="}, "filter"),
    ],
)
async def test_bad_field_is_named(
    http: httpx.AsyncClient, colours: dict[str, str], data: dict[str, str], word: str
) -> None:
    """What does not fit is refused with the field's name."""
    status, detail = await refused(http, colours["name"], data=data, files={"image": ("q.png", RED)})

    assert status == 400
    assert word in detail


@pytest.mark.parametrize(
    ("request_", "word"),
    [
        ({"json": {"parts": []}}, "part"),
        ({"json": {"parts": [{"smell": 1}]}}, "smell"),
        ({"json": {"parts": [{"image": "%"}]}}, "image"),
        ({"json": [1]}, "object"),
        ({"json": {"collection": "other", "parts": []}}, "other"),
        ({"content": b"{", "headers": {"content-type": "application/json"}}, "JSON"),
        ({"content": b"[" * 100_000, "headers": {"content-type": "application/json"}}, "JSON"),
        ({"data": {"text": ""}}, "part"),
        ({"data": {"text": "red", "detect": "true"}}, "image"),
        ({"data": {"image": "red.png"}}, "file"),
    ],
)
async def test_bad_query_is_refused(http: httpx.AsyncClient, photos: str, request_: dict[str, Any], word: str) -> None:
    """A query that cannot be read is the caller's fault."""
    status, detail = await refused(http, photos, **request_)

    assert status == 400
    assert word in detail


async def test_other_media_types_are_unsupported(http: httpx.AsyncClient, photos: str) -> None:
    """A query is a form or JSON."""
    status, detail = await refused(http, photos, content=b"red", headers={"content-type": "text/plain"})

    assert status == 415
    assert "multipart/form-data" in detail


async def test_unknown_collection_and_image_are_not_found(http: httpx.AsyncClient, photos: str) -> None:
    """The sentence names what is missing."""
    assert (await refused(http, "nowhere", json={"parts": [{"text": "red"}]}))[0] == 404
    assert (await refused(http, photos, json={"parts": [{"image_id": "0" * 32}]}))[0] == 404
