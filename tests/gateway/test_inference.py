"""The Open Inference Protocol over HTTP: by hand, and with Triton's and KServe's own clients in processes of their own."""

import base64
import json
import os
import struct
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from tests.gateway.system import System
from tests.support.images import blocks, encoded, plain

ROOT = Path(__file__).parents[2]
PEERS = ROOT / ".venv" / "peers"
RED = encoded(plain("red"))


@pytest.fixture
async def models(system: System) -> AsyncIterator[httpx.AsyncClient]:
    """A client of the protocol."""
    async with httpx.AsyncClient(base_url=f"{system.url}/v2", timeout=30) as client:
        yield client


def tensor(name: str, datatype: str, shape: list[int], data: Any, **parameters: Any) -> dict[str, Any]:
    """A request with one input in JSON."""
    return {
        "inputs": [{"name": name, "datatype": datatype, "shape": shape, "data": data, "parameters": parameters}],
    }


def packed(*elements: bytes) -> bytes:
    """BYTES in binary."""
    return b"".join(struct.pack("<I", len(element)) + element for element in elements)


def embeddings(answer: httpx.Response) -> np.ndarray:
    """The one output of an answer in JSON, (N, D)."""
    assert answer.status_code == 200, answer.text
    (output,) = answer.json()["outputs"]
    return np.asarray(output["data"]).reshape(output["shape"])


async def test_server_and_models_describe_themselves(models: httpx.AsyncClient, system: System) -> None:
    """Metadata, readiness, configuration, statistics and the list of all models."""
    assert (await models.get(f"{system.url}/v2")).json()["name"] == "fovea"
    assert (await models.get("/health/live")).status_code == 200
    assert (await models.get("/health/ready")).status_code == 200
    names = [model["name"] for model in (await models.post("/repository/index")).json()]
    described = (await models.get("/models/tiny")).json()

    assert {"tiny", "tiny_text", "tiny_detector"} <= set(names)
    assert (described["inputs"][0]["name"], described["outputs"][0]["shape"]) == ("image", [-1, 16])
    assert described["properties"]["kind"] == "image"
    assert (await models.get("/models/tiny/versions/1")).json() == described
    assert (await models.get("/models/tiny_detector/ready")).json()["ready"]
    assert (await models.get("/models/tiny/config")).json()["max_batch_size"] == 64
    assert (await models.get("/models/tiny/versions/1/stats")).json()["model_stats"][0]["name"] == "tiny"


async def test_json_and_binary_agree(models: httpx.AsyncClient) -> None:
    """Texts, base64 and pixels in JSON; bytes behind the JSON; outputs in either form."""
    in_base64 = [base64.b64encode(RED).decode()]
    image = embeddings(
        await models.post("/models/tiny/infer", json=tensor("image", "BYTES", [1], in_base64, content_type="base64"))
    )
    words = embeddings(
        await models.post("/models/tiny_text/infer", json=tensor("text", "BYTES", [2, 1], [["red"], ["blue"]]))
    )
    pixels = np.full((1, 16, 16, 3), 230).tolist()
    for datatype in ("UINT8", "FP32"):
        asked = tensor("image", datatype, [1, 16, 16, 3], pixels) | {"id": "7", "parameters": {"priority": 2}}
        answer = await models.post("/models/tiny/versions/1/infer", json=asked)
        assert embeddings(answer).shape == (1, 16)
        assert answer.json()["id"] == "7"

    raw = packed(RED)
    head = {
        "inputs": [{"name": "image", "datatype": "BYTES", "shape": [1], "parameters": {"binary_data_size": len(raw)}}],
        "outputs": [{"name": "embedding", "parameters": {"binary_data": True}}],
    }
    text = json.dumps(head).encode()
    headers = {"Inference-Header-Content-Length": str(len(text))}
    binary = await models.post("/models/tiny/infer", content=text + raw, headers=headers)
    length = int(binary.headers["Inference-Header-Content-Length"])
    assert json.loads(binary.content[:length])["outputs"][0]["parameters"] == {"binary_data_size": 64}
    assert np.frombuffer(binary.content[length:], "<f4") == pytest.approx(image[0], abs=1e-6)
    assert words.shape == (2, 16)


async def test_detectors_have_boxes_scores_and_labels(models: httpx.AsyncClient) -> None:
    """In JSON, as Detect finds them."""
    scene = base64.b64encode(encoded(blocks({"red": (0.25, 0.25, 0.75, 0.75)}))).decode()
    asked = tensor("image", "BYTES", [1], [scene], content_type="base64") | {"parameters": {"min_score": 0.4}}

    outputs = (await models.post("/models/tiny_detector/infer", json=asked)).json()["outputs"]

    found = {output["name"]: output["data"] for output in outputs}
    assert found["labels"] == ["red"]
    assert found["boxes"] == pytest.approx([0.25, 0.25, 0.75, 0.75], abs=0.05)


@pytest.mark.parametrize(
    ("model", "body", "status", "words"),
    [
        ("nobody", {}, 404, "nobody"),
        ("tiny/versions/9", tensor("image", "BYTES", [1], ["x"]), 404, "9"),
        ("tiny", [], 400, "object"),
        ("tiny", {}, 400, "one tensor"),
        ("tiny", {"inputs": {}}, 400, "list"),
        ("tiny", tensor("image", "BYTES", [1], None), 400, "neither data"),
        ("tiny", tensor("image", "BYTES", [1], [5]), 400, "texts"),
        ("tiny", tensor("image", "BYTES", [1], ["%"], content_type="base64"), 400, "base64"),
        ("tiny", tensor("image", "BYTES", [-1], ["x"]), 400, "whole numbers"),
        ("tiny", tensor("image", "UINT8", [1], [256]), 400, "0 to 255"),
        ("tiny", tensor("image", "FP64", [1], [1]), 400, "FP64"),
        ("tiny", tensor("image", "BYTES", [1], ["x"], binary_data_size=5), 400, "binary_data_size"),
        ("tiny", tensor("image", "BYTES", [1], ["x"]) | {"parameters": {"sequence_id": 1}}, 400, "sequence_id"),
        ("tiny", tensor("image", "BYTES", [1], ["x"]) | {"parameters": {"a": []}}, 400, "parameters[a]"),
        ("tiny", tensor("image", "BYTES", [1], ["x"]) | {"parameters": {"a": 10**30}}, 400, "parameters[a]"),
        ("tiny", tensor("image", "BYTES", [1], ["<svg>"]), 415, "SVG"),
    ],
)
async def test_what_cannot_be_run_is_refused(
    models: httpx.AsyncClient, model: str, body: Any, status: int, words: str
) -> None:
    """As a problem, whose `error` is what the protocol's clients show."""
    response = await models.post(f"/models/{model}/infer", json=body)

    assert response.status_code == status, response.text
    assert words in response.json()["error"]
    assert response.json()["error"] == response.json()["detail"]


@pytest.mark.parametrize("length", ["x", "-1", "99999999", "9" * 5000, "²"])
async def test_a_wrong_length_of_the_json_is_refused(models: httpx.AsyncClient, length: str) -> None:
    """It is a number within the body."""
    headers = {b"Inference-Header-Content-Length": length.encode("latin-1")}
    response = await models.post("/models/tiny/infer", content=b"{}", headers=headers)

    assert response.status_code == 400
    assert "Inference-Header-Content-Length" in response.json()["error"]


def said_by(peer: str, script: str, *arguments: str) -> Any:
    """What a script printed in the environment of another project's client."""
    python = PEERS / peer / "bin" / "python"
    if not python.exists() and not os.environ.get("CI"):
        pytest.skip(
            f"this client has no environment; `make peers-{peer.removesuffix('client')}` makes {python.parents[1]}"
        )
    command = [str(python), str(ROOT / "tests" / "support" / script), *arguments]
    checked = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert checked.returncode == 0, checked.stderr
    return json.loads(checked.stdout)


def test_kserves_clients_work(system: System) -> None:
    """Over gRPC with an encoder and over HTTP with the gateway: liveness, readiness, inference, refusal."""
    each = {"live": True, "ready": True, "model": True, "words": [2, 16], "pixels": [1, 16], "refused": True}

    assert said_by("kserve", "kserve_check.py", system.encoder, system.url) == {"grpc": each, "http": each}


def test_tritons_http_client_works(system: System) -> None:
    """A client that knows only the protocol describes, infers in binary and in JSON, and is refused."""
    assert said_by("tritonclient", "triton_http_check.py", system.url.removeprefix("http://")) == {
        "live": True,
        "ready": True,
        "unknown": False,
        "server": "fovea",
        "inputs": ["image"],
        "batch": 64,
        "models": True,
        "pixels": [1.0, 1.0],
        "json": [1.0, 1.0],
        "later": [2, 16],
        "counted": True,
        "refused": True,
    }
