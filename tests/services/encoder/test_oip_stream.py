"""Streams of the Open Inference Protocol: one response for each request, bounded in number and in silence."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Any

import grpc
import pytest

from fovea.oip.v2 import open_inference_pb2 as oip
from fovea.oip.v2 import open_inference_pb2_grpc as oip_grpc
from rpc.channel import open_channel
from rpc.server import ThreadServer
from services.encoder.models import Models
from services.encoder.offering import SERVICES, offering
from services.encoder.settings import EncoderSettings


def words(*texts: str, model: str = "tiny_text", **more: Any) -> oip.ModelInferRequest:
    """A request with one tensor of texts."""
    tensor = oip.ModelInferRequest.InferInputTensor(name="text", datatype="BYTES", shape=[len(texts)])
    tensor.contents.bytes_contents.extend(text.encode() for text in texts)
    return oip.ModelInferRequest(model_name=model, inputs=[tensor], **more)


@pytest.fixture
def stub(channel: grpc.aio.Channel) -> Any:
    return oip_grpc.GRPCInferenceServiceStub(channel)


@pytest.fixture
def narrow_server(settings: EncoderSettings) -> Iterator[ThreadServer]:
    """One stream at a time, which may be silent for a moment."""
    narrow = settings.model_copy(update={"max_streams": 1, "stream_idle_s": 1.0})
    with Models(narrow) as models, ThreadServer(narrow, services=SERVICES) as server, offering(server, narrow, models):
        yield server


@pytest.fixture
async def narrow_stub(narrow_server: ThreadServer) -> AsyncIterator[Any]:
    async with open_channel(f"127.0.0.1:{narrow_server.port}") as channel:
        yield oip_grpc.GRPCInferenceServiceStub(channel)


async def test_each_request_has_its_response_in_order(stub: Any) -> None:
    """One that fails does so alone, and those after it are run as `ModelInfer` runs them."""
    asked = [words("red", "blue", id="a"), words("red", model="nowhere", id="b"), words("red", id="c")]
    answers = [answer async for answer in stub.ModelStreamInfer(iter(asked), timeout=20)]
    alone = await stub.ModelInfer(words("red"), timeout=20)

    assert [answer.infer_response.id for answer in answers] == ["a", "b", "c"]
    assert [bool(answer.error_message) for answer in answers] == [False, True, False]
    assert "nowhere" in answers[1].error_message
    assert list(answers[0].infer_response.outputs[0].shape) == [2, 16]
    assert answers[2].infer_response.raw_output_contents == alone.raw_output_contents


async def test_final_responses_are_marked_on_request(stub: Any) -> None:
    """Each request has one response, which is the final one."""
    asked = [words("red"), words("blue")]
    asked[1].parameters["triton_enable_empty_final_response"].bool_param = True
    answers = [answer.infer_response async for answer in stub.ModelStreamInfer(iter(asked), timeout=20)]

    assert [dict(answer.parameters) for answer in answers] == [
        {},
        {"triton_final_response": oip.InferParameter(bool_param=True)},
    ]


async def test_requests_of_streams_are_counted(stub: Any) -> None:
    """The statistics have them as they have other calls, failures too."""

    async def counts() -> tuple[int, int]:
        answer = await stub.ModelStatistics(oip.ModelStatisticsRequest(name="tiny_text"), timeout=20)
        statistics = answer.model_stats[0].inference_stats
        return statistics.success.count, statistics.fail.count

    before = await counts()
    asked = [words("red"), words("red", "blue"), words()]
    _ = [answer async for answer in stub.ModelStreamInfer(iter(asked), timeout=20)]
    after = await counts()

    assert (after[0] - before[0], after[1] - before[1]) == (2, 1)


async def test_streams_are_bounded_in_number(narrow_stub: Any) -> None:
    """One more is refused, and unary calls go on."""
    first = narrow_stub.ModelStreamInfer(timeout=20)
    await first.write(words("red"))
    await first.read()
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await narrow_stub.ModelStreamInfer(iter([words("red")]), timeout=20).read()
    answer = await narrow_stub.ModelInfer(words("red"), timeout=20)
    await first.done_writing()

    assert refused.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert answer.model_name == "tiny_text"


async def test_a_silent_stream_is_ended(narrow_stub: Any) -> None:
    """It would hold its thread for ever, and the place of another stream."""
    silent = narrow_stub.ModelStreamInfer(timeout=60)
    await silent.write(words("red"))
    await silent.read()
    async with asyncio.timeout(20):
        assert await silent.code() is grpc.StatusCode.CANCELLED

    async for answer in narrow_stub.ModelStreamInfer(iter([words("red")]), timeout=20):
        assert not answer.error_message
