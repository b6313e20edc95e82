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
from tests.support.images import blocks, corners, encoded, plain


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
        (request("tiny", "image", "BYTES", [2, 1], packed(data, data)), 2),
        (request("tiny", "image", "UINT8", [1, 16, 16, 3], pixels.tobytes()), 1),
        (request("tiny", "image", "FP32", [1, 16, 16, 3], pixels.astype("<f4").tobytes()), 1),
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
        (request("tiny", "image", "FP32", [1], b"1234"), "INVALID_ARGUMENT", "[N, 16, 16, 3]"),
        (request("tiny", "image", "FP32", [1, 16, 16, 3], b"123"), "INVALID_ARGUMENT", "inside a value"),
        (request("tiny", "image", "FP32", [1, 16, 16, 3], b"\xff" * 3072), "INVALID_ARGUMENT", "0 to 255"),
        (request("tiny", "image", "FP16", [1, 16, 16, 3], bytes(1536)), "INVALID_ARGUMENT", "FP16"),
        (request("tiny", "image", "BYTES", [2], packed(b"x")), "INVALID_ARGUMENT", "there are 1"),
        (request("tiny", "image", "BYTES", [], packed(b"x")), "INVALID_ARGUMENT", "1 to 64"),
        (request("tiny", "image", "BYTES", [65], packed(*[b"x"] * 65)), "INVALID_ARGUMENT", "1 to 64"),
        (request("tiny", "image", "BYTES", [-1], packed(b"x")), "INVALID_ARGUMENT", "1 to 64"),
        (request("tiny", "image", "BYTES", [1, 2], packed(b"x", b"x")), "INVALID_ARGUMENT", r"shape [N]"),
        (request("tiny", "image", "BYTES", [1], b"\x05\x00"), "INVALID_ARGUMENT", "inside a length"),
        (request("tiny", "image", "BYTES", [1], b"\x05\x00\x00\x00abc"), "INVALID_ARGUMENT", "inside an element"),
        (request("tiny", "image", "BYTES", [1], b"", b""), "INVALID_ARGUMENT", "one entry for each"),
        (request("tiny", "image", "BYTES", [1], packed(b"<svg>")), "INVALID_ARGUMENT", "element 0: This is an SVG"),
        (request("tiny", "image", "UINT8", [1, 8, 8, 3], bytes(192)), "INVALID_ARGUMENT", "[N, 16, 16, 3]"),
        (request("tiny", "image", "UINT8", [1, 16, 16, 3], bytes(7)), "INVALID_ARGUMENT", "there are 7"),
        (request("tiny_text", "text", "BYTES", [1], packed(b"\xff")), "INVALID_ARGUMENT", "UTF-8"),
        (request("tiny_text", "text", "UINT8", [1, 16, 16, 3], bytes(768)), "INVALID_ARGUMENT", "UINT8"),
        (request("tiny_detector", "image", "BYTES", [2], packed(b"x", b"x")), "INVALID_ARGUMENT", "one image"),
        (request("tiny_detector", "image", "UINT8", [1, 9, 9, 3], bytes(243)), "INVALID_ARGUMENT", "UINT8"),
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


async def test_a_detector_answers_with_boxes_scores_and_labels(stub: Any) -> None:
    """What Detect gives, as tensors; the outputs that are asked for, in that order."""
    image = encoded(blocks({"red": (0.1, 0.1, 0.4, 0.9), "blue": (0.6, 0.1, 0.9, 0.9)}))

    response = await stub.ModelInfer(request("tiny_detector", "image", "BYTES", [1, 1], packed(image)), timeout=20)
    one = request("tiny_detector", "image", "BYTES", [1], packed(image))
    one.outputs.add(name="labels")
    one.parameters["limit"].int64_param = 1
    one.parameters["min_score"].double_param = 0.1
    best = await stub.ModelInfer(one, timeout=20)

    shapes = {output.name: (output.datatype, list(output.shape)) for output in response.outputs}
    assert shapes == {"boxes": ("FP32", [2, 4]), "scores": ("FP32", [2]), "labels": ("BYTES", [2])}
    boxes = np.frombuffer(response.raw_output_contents[0], "<f4").reshape(2, 4)
    assert sorted(np.round(boxes[:, 0], 1).tolist()) == pytest.approx([0.1, 0.6], abs=0.11)
    assert {b"red", b"blue"} == {element for element in (b"red", b"blue") if element in response.raw_output_contents[2]}
    assert [(output.name, list(output.shape)) for output in best.outputs] == [("labels", [1])]


@pytest.mark.parametrize(
    ("name", "parameter", "words"),
    [
        ("sequence_id", {"int64_param": 7}, "parameters[sequence_id]: is not known"),
        ("content_type", {"string_param": "pil"}, "parameters[content_type]"),
        ("timeout", {"int64_param": -1}, "microseconds"),
        ("min_score", {"double_param": 0.5}, "parameters[min_score]"),
    ],
)
async def test_a_parameter_that_is_not_obeyed_is_refused(
    stub: Any, name: str, parameter: dict[str, Any], words: str
) -> None:
    """By its name; one without a value changes nothing and is let through."""
    asked = request("tiny", "image", "BYTES", [1], packed(encoded(plain())))
    asked.parameters["sequence_start"].bool_param = False
    await stub.ModelInfer(asked, timeout=20)
    asked.parameters[name].CopyFrom(oip.InferParameter(**parameter))

    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await stub.ModelInfer(asked, timeout=20)

    assert refused.value.code() == grpc.StatusCode.INVALID_ARGUMENT
    assert words in (refused.value.details() or "")


async def test_parameters_of_tensors_are_refused(stub: Any) -> None:
    """Shared memory and classification ask for another answer than the one that is given."""
    asked = request("tiny", "image", "BYTES", [1], packed(encoded(plain())))
    asked.outputs.add(name="embedding").parameters["classification"].int64_param = 3

    with pytest.raises(grpc.aio.AioRpcError, match=r"embedding\.parameters\[classification\]"):
        await stub.ModelInfer(asked, timeout=20)


async def test_timeout_is_a_deadline(stub: Any) -> None:
    """In microseconds; one that cannot be met ends the call before any work."""
    asked = request("tiny", "image", "BYTES", [1], packed(encoded(plain())))
    asked.parameters["timeout"].int64_param = 1
    with pytest.raises(grpc.aio.AioRpcError) as late:
        await stub.ModelInfer(asked, timeout=20)
    asked.parameters["timeout"].int64_param = 20_000_000
    in_time = await stub.ModelInfer(asked, timeout=20)

    assert late.value.code() == grpc.StatusCode.DEADLINE_EXCEEDED
    assert in_time.model_name == "tiny"


async def test_models_have_a_configuration(stub: Any) -> None:
    """As Triton's tools read it: batches of encoders without their dimension, one image for a detector."""
    encoder = (await stub.ModelConfig(oip.ModelConfigRequest(name="tiny"), timeout=20)).config
    detector = (await stub.ModelConfig(oip.ModelConfigRequest(name="tiny_detector", version="1"), timeout=20)).config

    assert (encoder.name, encoder.max_batch_size, encoder.backend) == ("tiny", 64, "onnxruntime")
    assert [(read.name, read.data_type, list(read.dims)) for read in encoder.input] == [("image", oip.TYPE_STRING, [1])]
    assert encoder.input[0].HasField("reshape")
    assert [(output.name, list(output.dims)) for output in encoder.output] == [("embedding", [16])]
    assert detector.max_batch_size == 0
    assert [output.name for output in detector.output] == ["boxes", "scores", "labels"]
    with pytest.raises(grpc.aio.AioRpcError, match="not served here"):
        await stub.ModelConfig(oip.ModelConfigRequest(name="huge"), timeout=20)


async def test_statistics_count_inferences(stub: Any) -> None:
    """Inputs, calls, failures, and the time of each stage; of one model or of all."""
    asked = oip.ModelStatisticsRequest(name="tiny")
    (before,) = (await stub.ModelStatistics(asked, timeout=20)).model_stats
    data = encoded(plain())
    await stub.ModelInfer(request("tiny", "image", "BYTES", [2], packed(data, data)), timeout=20)
    with pytest.raises(grpc.aio.AioRpcError):
        await stub.ModelInfer(request("tiny", "image", "BYTES", [1], packed(b"x")), timeout=20)
    (after,) = (await stub.ModelStatistics(asked, timeout=20)).model_stats

    assert after.inference_count - before.inference_count == 2
    assert after.execution_count - before.execution_count == 1
    assert after.inference_stats.fail.count - before.inference_stats.fail.count == 1
    assert after.inference_stats.compute_infer.ns > before.inference_stats.compute_infer.ns
    everything = await stub.ModelStatistics(oip.ModelStatisticsRequest(), timeout=20)
    assert [model.name for model in everything.model_stats] == ["tiny", "tiny_detector", "tiny_text"]


async def test_repository_lists_the_models(stub: Any) -> None:
    """Every bundle with its version and state."""
    index = await stub.RepositoryIndex(oip.RepositoryIndexRequest(ready=True), timeout=20)

    assert [(model.name, model.version, model.state) for model in index.models] == [
        ("tiny", "1", "READY"),
        ("tiny_detector", "1", "READY"),
        ("tiny_text", "1", "READY"),
    ]
