"""The Open Inference Protocol over a real port."""

import struct
from contextlib import AbstractContextManager
from typing import Any

import grpc
import numpy as np
import pytest

from fovea.oip.v2 import open_inference_pb2 as oip
from fovea.oip.v2 import open_inference_pb2_grpc as oip_grpc
from rpc.clients import Embedded, EncoderClient, Input
from rpc.deadline import Deadline
from services.encoder.batcher import Batcher
from services.encoder.call import ModelCall
from tests.support.images import corners, encoded, plain


@pytest.fixture
def stub(channel: grpc.aio.Channel) -> Any:
    return oip_grpc.GRPCInferenceServiceStub(channel)


def packed(*elements: bytes) -> bytes:
    """Joins BYTES elements as the protocol's raw contents do."""
    return b"".join(struct.pack("<I", len(element)) + element for element in elements)


def request(model: str, name: str, datatype: str, shape: list[int], *raw: bytes, **more: Any) -> oip.ModelInferRequest:
    """Builds a request with one tensor."""
    tensor = oip.ModelInferRequest.InferInputTensor(name=name, datatype=datatype, shape=shape)
    return oip.ModelInferRequest(model_name=model, inputs=[tensor], raw_input_contents=raw, **more)


def embeddings(response: oip.ModelInferResponse) -> np.ndarray:
    """Reads the one output, (N, D)."""
    (output,) = response.outputs
    assert (output.name, output.datatype) == ("embedding", "FP32")
    return np.frombuffer(response.raw_output_contents[0], dtype="<f4").reshape(output.shape)


async def test_images_pixels_and_contents_agree(stub: Any, channel: grpc.aio.Channel) -> None:
    """Encoded images, raw or in contents, and pixels already resized give what Encode gives."""
    image = corners(size=(16, 16))
    data, pixels = encoded(image), np.asarray(image)
    encoded_answer = await EncoderClient(channel).encode([Input(data)], encoder="tiny", deadline=Deadline.after(20))
    (outcome,) = encoded_answer.outcomes
    assert isinstance(outcome, Embedded)

    in_contents = request("tiny", "image", "BYTES", [2])
    in_contents.inputs[0].contents.bytes_contents.extend([data, data])
    for asked, count in (
        (request("tiny", "image", "BYTES", [2], packed(data, data), id="a"), 2),
        (in_contents, 2),
        (request("tiny", "image", "UINT8", [1, 16, 16, 3], pixels.tobytes()), 1),
    ):
        response = await stub.ModelInfer(asked, timeout=20)
        assert embeddings(response).shape == (count, 16)
        assert np.allclose(embeddings(response), outcome.embedding, atol=1e-6)
        assert (response.model_name, response.model_version, response.id) == ("tiny", "1", asked.id)


async def test_texts_are_embedded(stub: Any) -> None:
    """A BYTES tensor of words gives one row for each."""
    response = await stub.ModelInfer(
        request("tiny_text", "text", "BYTES", [2], packed(b"red", b"blue mauve")), timeout=20
    )

    assert embeddings(response).shape == (2, 16)


@pytest.mark.parametrize(
    ("asked", "code", "words"),
    [
        (request("huge", "image", "BYTES", [1], packed(b"x")), "NOT_FOUND", "'huge'"),
        (request("tiny", "image", "BYTES", [1], packed(b"x"), model_version="7"), "NOT_FOUND", "7"),
        (request("tiny", "pixels", "BYTES", [1], packed(b"x")), "INVALID_ARGUMENT", "takes 'image'"),
        (request("tiny", "image", "FP32", [1], b"1234"), "INVALID_ARGUMENT", "FP32"),
        (request("tiny", "image", "BYTES", [2], packed(b"x")), "INVALID_ARGUMENT", "there are 1"),
        (request("tiny", "image", "BYTES", [], packed(b"x")), "INVALID_ARGUMENT", "1 to 64"),
        (request("tiny", "image", "BYTES", [65], packed(*[b"x"] * 65)), "INVALID_ARGUMENT", "1 to 64"),
        (request("tiny", "image", "BYTES", [-1], packed(b"x")), "INVALID_ARGUMENT", "1 to 64"),
        (request("tiny", "image", "BYTES", [1, 1], packed(b"x")), "INVALID_ARGUMENT", r"shape [N]"),
        (request("tiny", "image", "BYTES", [1], b"\x05\x00"), "INVALID_ARGUMENT", "inside a length"),
        (request("tiny", "image", "BYTES", [1], b"\x05\x00\x00\x00abc"), "INVALID_ARGUMENT", "inside an element"),
        (request("tiny", "image", "BYTES", [1], b"", b""), "INVALID_ARGUMENT", "one entry for each"),
        (request("tiny", "image", "BYTES", [1], packed(b"<svg>")), "INVALID_ARGUMENT", "element 0: This is an SVG"),
        (request("tiny", "image", "UINT8", [1, 8, 8, 3], bytes(192)), "INVALID_ARGUMENT", "[N, 16, 16, 3]"),
        (request("tiny", "image", "UINT8", [1, 16, 16, 3], bytes(7)), "INVALID_ARGUMENT", "there are 7"),
        (request("tiny_text", "text", "BYTES", [1], packed(b"\xff")), "INVALID_ARGUMENT", "UTF-8"),
        (request("tiny_text", "text", "UINT8", [1, 16, 16, 3], bytes(768)), "INVALID_ARGUMENT", "UINT8"),
        (request("tiny_detector", "image", "BYTES", [1], packed(b"x")), "UNIMPLEMENTED", "DetectorService"),
        (oip.ModelInferRequest(model_name="tiny"), "INVALID_ARGUMENT", "one tensor"),
    ],
)
async def test_wrong_tensors_are_refused(stub: Any, asked: oip.ModelInferRequest, code: str, words: str) -> None:
    """Each mistake gets its status and a sentence, and the next request works."""
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await stub.ModelInfer(asked, timeout=20)

    assert refused.value.code().name == code
    assert words in (refused.value.details() or "")
    await stub.ModelInfer(request("tiny", "image", "BYTES", [1], packed(encoded(plain()))), timeout=20)


@pytest.mark.parametrize(
    ("priority", "lane"), [({}, "interactive"), (0, "interactive"), (1, "interactive"), (2, "bulk"), (9, "bulk")]
)
async def test_the_protocols_priority_chooses_the_lane(
    stub: Any, monkeypatch: pytest.MonkeyPatch, priority: int | dict[str, int], lane: str
) -> None:
    """1 is interactive, more is bulk, 0 is the default, whichever integer the client sends it as."""
    lanes: list[str] = []
    admitted = Batcher.admitted

    def spy(batcher: Batcher[Any], call: ModelCall[Any]) -> AbstractContextManager[None]:
        lanes.append(call.priority.value)
        return admitted(batcher, call)

    monkeypatch.setattr(Batcher, "admitted", spy)
    asked = request("tiny", "image", "BYTES", [1], packed(encoded(plain())))
    for kind in ("int64_param", "uint64_param"):
        if isinstance(priority, int):
            setattr(asked.parameters["priority"], kind, priority)
        await stub.ModelInfer(asked, timeout=20)

    assert lanes == [lane, lane]


@pytest.mark.parametrize("wrong", [{"int64_param": -1}, {"string_param": "high"}, {"bool_param": True}, {}])
async def test_a_priority_that_cannot_be_obeyed_is_refused(stub: Any, wrong: dict[str, Any]) -> None:
    """The parameter is named, and nothing is guessed."""
    asked = request("tiny", "image", "BYTES", [1], packed(encoded(plain())))
    asked.parameters["priority"].CopyFrom(oip.InferParameter(**wrong))

    with pytest.raises(grpc.aio.AioRpcError, match=r"parameters\[priority\]") as refused:
        await stub.ModelInfer(asked, timeout=20)

    assert refused.value.code() == grpc.StatusCode.INVALID_ARGUMENT


async def test_an_unknown_output_is_refused(stub: Any) -> None:
    """Only the embedding can be asked for."""
    asked = request("tiny", "image", "BYTES", [1], packed(encoded(plain())))
    asked.outputs.add(name="logits")

    with pytest.raises(grpc.aio.AioRpcError, match="not 'logits'"):
        await stub.ModelInfer(asked, timeout=20)


async def test_server_and_models_describe_themselves(stub: Any) -> None:
    """Liveness, readiness and metadata are answered; an unknown model is not ready, and has no metadata."""
    assert (await stub.ServerLive(oip.ServerLiveRequest(), timeout=20)).live
    assert (await stub.ServerReady(oip.ServerReadyRequest(), timeout=20)).ready
    assert (await stub.ModelReady(oip.ModelReadyRequest(name="tiny_detector"), timeout=20)).ready
    assert (await stub.ServerMetadata(oip.ServerMetadataRequest(), timeout=20)).name == "fovea"
    described = await stub.ModelMetadata(oip.ModelMetadataRequest(name="tiny"), timeout=20)

    assert (described.name, list(described.versions), described.platform) == ("tiny", ["1"], "onnx_onnxv1")
    assert [
        (tensor.name, tensor.datatype, list(tensor.shape)) for tensor in (*described.inputs, *described.outputs)
    ] == [
        ("image", "BYTES", [-1]),
        ("embedding", "FP32", [-1, 16]),
    ]
    assert not (await stub.ModelReady(oip.ModelReadyRequest(name="huge"), timeout=20)).ready
    with pytest.raises(grpc.aio.AioRpcError, match="not served here"):
        await stub.ModelMetadata(oip.ModelMetadataRequest(name="huge"), timeout=20)
