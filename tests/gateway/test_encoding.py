"""Embeddings over HTTP: the encode route and the one in the shape of OpenAI's API."""

import base64
from typing import Any

import httpx
import numpy as np
import pytest

from tests.gateway.system import System
from tests.support.images import blocks, encoded, plain

RED, BLUE = encoded(plain("red")), encoded(plain("blue"))


def data_uri(image: bytes) -> str:
    """An image as a part of JSON."""
    return f"data:image/png;base64,{base64.b64encode(image).decode()}"


async def embed(system: System, **body: Any) -> httpx.Response:
    """Send a request as clients of OpenAI's API do."""
    async with httpx.AsyncClient(base_url=system.url, timeout=30) as client:
        return await client.post("/v1/embeddings", json=body)


async def test_forms_and_json_are_encoded(http: httpx.AsyncClient) -> None:
    """Files and words in their order, with regions in JSON; both forms agree."""
    form = (
        await http.post("/encoders/tiny/encode", files=[("image", ("a.png", RED)), ("sketch", ("b.png", BLUE))])
    ).json()
    image = base64.b64encode(RED).decode()
    whole = {"x_min": 0, "y_min": 0, "x_max": 1, "y_max": 1}
    body = {"inputs": [{"image": image}, {"image": image, "regions": [whole, whole]}]}
    json = (await http.post("/encoders/tiny/encode", json=body)).json()
    words = (await http.post("/encoders/tiny_text/encode", data={"text": "red"})).json()

    assert (form["encoder"], form["dimension"], len(form["results"])) == ("tiny", 16, 2)
    assert [result["input_index"] for result in json["results"]] == [0, 1, 1]
    for result in json["results"]:
        assert result["embedding"] == pytest.approx(form["results"][0]["embedding"], abs=1e-5)
    assert np.linalg.norm(words["results"][0]["embedding"]) == pytest.approx(1, abs=1e-5)
    assert words["space"] == form["space"]


async def test_a_bad_input_fails_alone(http: httpx.AsyncClient) -> None:
    """Its result has the problem, the others their embeddings."""
    files = [("image", ("a.png", RED)), ("image", ("b.png", b"no image"))]
    good, bad = (await http.post("/encoders/tiny/encode", files=files)).json()["results"]

    assert len(good["embedding"]) == 16
    assert bad["error"]["status"] in {400, 415}
    assert "embedding" not in bad


@pytest.mark.parametrize(
    ("name", "body", "status", "words"),
    [
        ("nobody", {"inputs": [{"text": "red"}]}, 404, "nobody"),
        ("tiny", {"inputs": []}, 400, "1 to 64"),
        ("tiny", {"inputs": [{"text": "red"}]}, 400, "not text"),
        ("tiny", {"inputs": [{}]}, 400, "inputs[0]"),
        ("tiny", {"inputs": [{"image": "eA=="}] * 65}, 400, "1 to 64"),
        ("tiny", {"inputs": [{"image": "eA==", "regions": [{}] * 257}]}, 400, "256"),
        ("tiny", {"inputs": [{"image": "eA==", "region": {}, "regions": [{}]}]}, 400, "not both"),
        ("tiny", {"encoder": "another", "inputs": [{"image": "eA=="}]}, 400, "another"),
        ("tiny", [1], 400, "object"),
    ],
)
async def test_what_cannot_be_encoded_is_refused(
    http: httpx.AsyncClient, name: str, body: Any, status: int, words: str
) -> None:
    """With the field and what to do."""
    response = await http.post(f"/encoders/{name}/encode", json=body)

    assert response.status_code == status
    assert words in response.json()["detail"]


async def test_clients_of_openai_get_embeddings(system: System) -> None:
    """Words and images in one list, each by the encoder of the space that reads it, as numbers or as base64."""
    given = ["red", data_uri(BLUE), "blue"]
    floats = (await embed(system, model="tiny", input=given, user="somebody")).json()
    packed = (await embed(system, model="tiny_text", input=given, encoding_format="base64", dimensions=16)).json()
    one = (await embed(system, model="tiny", input=data_uri(BLUE))).json()

    assert (floats["object"], floats["model"]) == ("list", "tiny")
    assert [each["index"] for each in floats["data"]] == [0, 1, 2]
    embeddings = np.asarray([each["embedding"] for each in floats["data"]])
    assert np.linalg.norm(embeddings, axis=1) == pytest.approx(1, abs=1e-5)
    for each, embedding in zip(packed["data"], embeddings, strict=True):
        assert np.frombuffer(base64.b64decode(each["embedding"]), "<f4") == pytest.approx(embedding, abs=1e-5)
    assert one["data"][0]["embedding"] == pytest.approx(embeddings[1].tolist(), abs=1e-5)


async def test_many_inputs_are_encoded_in_their_order(system: System) -> None:
    """More than one call of an encoder takes."""
    colours = [encoded(blocks({"red": (0, 0, (number + 1) / 150, 1)})) for number in range(150)]
    answer = (await embed(system, model="tiny", input=list(map(data_uri, colours)))).json()
    last = (await embed(system, model="tiny", input=data_uri(colours[149]))).json()

    assert len(answer["data"]) == 150
    assert answer["data"][149]["embedding"] == pytest.approx(last["data"][0]["embedding"], abs=1e-5)


@pytest.mark.parametrize(
    ("body", "status", "words"),
    [
        ({"model": "nobody", "input": "red"}, 404, "nobody"),
        ({"model": "tiny", "input": []}, 400, "1 to 2,048"),
        ({"model": "tiny", "input": [1, 2]}, 400, "input"),
        ({"model": "tiny", "input": "data:text/plain;base64,eA=="}, 400, "input[0]"),
        ({"model": "tiny", "input": ["red", "data:image/png;base64,%%%"]}, 400, "input[1]"),
        ({"model": "tiny", "input": ["red", data_uri(b"no image")]}, 415, "input[1]"),
        ({"model": "tiny", "input": "red", "dimensions": 8}, 400, "16"),
        ({"model": "another", "input": "red", "extra": 1}, 400, "extra"),
    ],
)
async def test_what_openai_cannot_have_is_refused(
    system: System, body: dict[str, Any], status: int, words: str
) -> None:
    """One bad input fails the request, and is named."""
    response = await embed(system, **body)

    assert response.status_code == status, response.text
    assert words in response.json()["detail"]
