"""EncoderService over a real port."""

import grpc
import numpy as np
import pytest
from prometheus_client import REGISTRY

from domain.cores import usable_cores
from fovea.detector.v1 import detector_pb2, detector_pb2_grpc
from fovea.encoder.v1 import encoder_pb2, encoder_pb2_grpc
from fovea.types.v1 import types_pb2
from rpc.clients import Embedded, EncoderClient, Input
from rpc.deadline import Deadline
from rpc.errors import InvalidArgument, NotFound, ServiceError
from rpc.priority import Priority
from tests.support.images import COLOURS, HOSTILE, blocks, corners, drawing, encoded, plain, turned

BOX = (0.0, 0.0, 1.0, 1.0)


@pytest.fixture
def client(channel: grpc.aio.Channel) -> EncoderClient:
    return EncoderClient(channel)


async def embed(client: EncoderClient, *inputs: Input, encoder: str = "tiny") -> list[np.ndarray]:
    """Encodes inputs that must all succeed."""
    encoded_inputs = await client.encode(inputs, encoder=encoder, deadline=Deadline.after(20))
    assert all(isinstance(outcome, Embedded) for outcome in encoded_inputs.outcomes), encoded_inputs.outcomes
    return [outcome.embedding for outcome in encoded_inputs.outcomes if isinstance(outcome, Embedded)]


async def error_of(client: EncoderClient, content: Input, *, encoder: str = "tiny") -> ServiceError:
    """Encodes one bad input between two good ones and returns its error."""
    good = Input("red", "text") if encoder == "tiny_text" else Input(encoded(plain("red")))
    answer = await client.encode([good, content, good], encoder=encoder, deadline=Deadline.after(20))
    first, bad, last = answer.outcomes
    assert isinstance(first, Embedded)
    assert isinstance(last, Embedded)
    assert isinstance(bad, ServiceError)
    return bad


async def test_embeddings_come_in_order_and_have_unit_length(client: EncoderClient) -> None:
    """Each input's embedding has its own position, equal to the one that it gets alone."""
    images = [encoded(plain(colour)) for colour in COLOURS] * 4
    together = await embed(client, *map(Input, images))

    for image, embedding in zip(images[:6], together[:6], strict=True):
        (alone,) = await embed(client, Input(image))
        assert np.allclose(alone, embedding, atol=1e-6)
    assert np.allclose(np.linalg.norm(together, axis=1), 1, atol=1e-5)
    assert np.allclose(together[:6], together[18:], atol=1e-6)


async def test_words_and_images_share_a_space(client: EncoderClient) -> None:
    """A word's embedding is nearest to the image that it describes."""
    colours = list(COLOURS)
    images = np.stack(await embed(client, *(Input(encoded(plain(colour))) for colour in colours)))
    words = np.stack(await embed(client, *(Input(colour, "text") for colour in colours), encoder="tiny_text"))

    assert (words @ images.T).argmax(axis=1).tolist() == list(range(len(colours)))


async def test_regions_are_embedded_alone(client: EncoderClient) -> None:
    """A region's embedding is that of an image which shows only the region, also when the photo lies on its side."""
    data = turned(corners(size=(192, 128)), 6, "PNG")
    inputs = [Input(data, regions=((0.5, 0, 1, 0.5),)), Input(data, regions=((0, 0.5, 0.5, 1),)), Input(data)]

    green, blue, whole = await embed(client, *inputs)

    expected = await embed(client, *(Input(encoded(image)) for image in (plain("green"), plain("blue"), corners())))
    assert min(green @ expected[0], blue @ expected[1], whole @ expected[2]) > 0.999


async def test_regions_of_one_input_are_results_of_their_own(channel: grpc.aio.Channel) -> None:
    """An image sent once gives a result for each of its regions, in order, each with the index of its input."""
    quarters = [types_pb2.Box(x_max=0.5, y_max=0.5), types_pb2.Box(x_min=0.5, x_max=1, y_max=0.5)]
    upside_down = types_pb2.Box(x_min=1, x_max=0, y_max=1)
    inputs = [
        encoder_pb2.Input(image=encoded(plain("red"))),
        encoder_pb2.Input(image=encoded(corners()), regions=[*quarters, upside_down]),
        encoder_pb2.Input(image=b"broken", regions=quarters),
        encoder_pb2.Input(image=encoded(plain("green"))),
    ]

    answer = await encoder_pb2_grpc.EncoderServiceStub(channel).Encode(
        encoder_pb2.EncodeRequest(encoder="tiny", inputs=inputs), timeout=20
    )

    assert [result.input_index for result in answer.results] == [0, 1, 1, 1, 2, 2, 3]
    assert [position for position, result in enumerate(answer.results) if result.HasField("error")] == [3, 4, 5]
    red, first, second, green = (np.frombuffer(answer.results[position].embedding, "<f4") for position in (0, 1, 2, 6))
    assert min(first @ red, second @ green) > 0.999


async def test_region_and_regions_together_fail_alone(channel: grpc.aio.Channel) -> None:
    """An input that says both gets one error for each of its results, and its neighbours succeed."""
    box, good = types_pb2.Box(x_max=1, y_max=1), encoder_pb2.Input(image=encoded(plain("red")))
    both = encoder_pb2.Input(image=encoded(plain("red")), region=box, regions=[box, box])

    answer = await encoder_pb2_grpc.EncoderServiceStub(channel).Encode(
        encoder_pb2.EncodeRequest(encoder="tiny", inputs=[good, both, good]), timeout=20
    )

    codes = [result.error.code for result in answer.results]
    assert codes == [0, *[grpc.StatusCode.INVALID_ARGUMENT.value[0]] * 2, 0]
    assert "either region or regions" in answer.results[1].error.message


@pytest.mark.parametrize("name", HOSTILE)
async def test_hostile_images_fail_alone(client: EncoderClient, name: str) -> None:
    """One bad image gets its own status, which programs can tell by its reason, and its neighbours succeed."""
    data, words = HOSTILE[name]

    error = await error_of(client, Input(data))

    assert isinstance(error, InvalidArgument)
    assert words in error.message
    assert error.reason == "UNSUPPORTED_PICTURE"


@pytest.mark.parametrize("region", [(float("nan"), 0, 1, 1), (0.5, 0, 0.5, 1), (0, 0, 2, 1), (0.0, 0.0, 0.0, 0.0)])
async def test_impossible_regions_fail_alone(client: EncoderClient, region: tuple[float, float, float, float]) -> None:
    """A region that is not a rectangle in the image fails; other regions of the same image do not."""
    error = await error_of(client, Input(encoded(plain("red")), regions=(region,)))

    assert isinstance(error, InvalidArgument)
    assert "region" in error.message


async def test_sketches_are_read_over_white(client: EncoderClient) -> None:
    """A transparent drawing is dark on white; one without a stroke is refused with a sentence."""
    transparent, white = drawing(), plain("white", size=(64, 64))
    white.paste(transparent, mask=transparent.getchannel("A"))

    first, second = await embed(client, Input(encoded(transparent), "sketch"), Input(encoded(white), "sketch"))
    error = await error_of(client, Input(encoded(plain("white")), "sketch"))

    assert np.allclose(first, second, atol=1e-6)
    assert error.message == "The sketch is blank; draw at least one stroke."


async def test_warnings_travel_with_their_input(client: EncoderClient) -> None:
    """Cut texts, unknown words and animations are reported, each with its own result."""
    texts = [Input("red", "text"), Input("red mauve", "text"), Input("red " * 20, "text")]
    answer = await client.encode(texts, encoder="tiny_text", deadline=Deadline.after(20))
    animated = encoded(corners(), "GIF", save_all=True, append_images=[plain("red")])
    moving = await client.encode([Input(animated)], encoder="tiny", deadline=Deadline.after(20))

    warnings = [outcome.warnings for outcome in (*answer.outcomes, *moving.outcomes) if isinstance(outcome, Embedded)]
    assert warnings == [
        (),
        ("unknown words: mauve",),
        ("text was cut to 8 tokens",),
        ("only the first frame was read",),
    ]


async def test_a_text_of_unknown_words_fails_alone(client: EncoderClient) -> None:
    """A text of which the model knows no word is refused with its words, and the one beside it is encoded."""
    answer = await client.encode(
        [Input("mauve taupe", "text"), Input("red", "text")], encoder="tiny_text", deadline=Deadline.after(20)
    )
    refused, encoded_text = answer.outcomes
    assert isinstance(refused, InvalidArgument)
    assert "(mauve, taupe)" in refused.message
    assert isinstance(encoded_text, Embedded)


async def test_an_empty_text_fails_alone(client: EncoderClient) -> None:
    """Blanks are not a query."""
    error = await error_of(client, Input("  \n", "text"), encoder="tiny_text")

    assert "empty" in error.message
    assert not error.reason


@pytest.mark.parametrize(
    ("inputs", "encoder", "error", "words"),
    [
        ([], "tiny", InvalidArgument, "1 to 64"),
        ([Input("red", "text")] * 65, "tiny_text", InvalidArgument, "not 65"),
        ([Input(b"", regions=(BOX,) * 129)] * 2, "tiny", InvalidArgument, "at most 256 results in one call, not 258"),
        ([Input("red", "text", regions=(BOX, BOX))], "tiny_text", InvalidArgument, "only an image has regions"),
        ([Input("red", "text")], "tiny", InvalidArgument, "tiny reads image or sketch, not text"),
        ([Input("red", "text")], "huge", NotFound, "'huge' is not served here; there is tiny, tiny_text"),
        ([Input("red", "text")], "", InvalidArgument, "name one of them: tiny, tiny_text"),
        ([Input("red", "text")], "tiny_detector", NotFound, "not served"),
        ([Input("red", "text", regions=((0, 0, 1, 1),))], "tiny_text", InvalidArgument, "only an image has regions"),
    ],
)
async def test_wrong_requests_are_refused_whole(
    client: EncoderClient, inputs: list[Input], encoder: str, error: type[ServiceError], words: str
) -> None:
    """A request that makes no sense as a whole is answered with a status and one sentence."""
    with pytest.raises(error, match=words):
        await client.encode(inputs, encoder=encoder, deadline=Deadline.after(20))


async def test_an_input_without_content_is_refused(channel: grpc.aio.Channel) -> None:
    """An empty message is answered, not guessed at."""
    stub = encoder_pb2_grpc.EncoderServiceStub(channel)

    with pytest.raises(grpc.aio.AioRpcError, match="has no content") as refused:
        await stub.Encode(encoder_pb2.EncodeRequest(encoder="tiny", inputs=[encoder_pb2.Input()]), timeout=20)

    assert refused.value.code() == grpc.StatusCode.INVALID_ARGUMENT


async def test_a_passed_deadline_is_answered_before_any_work(channel: grpc.aio.Channel) -> None:
    """A caller whose time is over gets DEADLINE_EXCEEDED."""
    stub = encoder_pb2_grpc.EncoderServiceStub(channel)
    image = encoder_pb2.Input(image=encoded(blocks({"red": (0, 0, 0.5, 0.5)}, size=(2000, 2000)), "PNG"))

    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await stub.Encode(encoder_pb2.EncodeRequest(encoder="tiny", inputs=[image] * 64), timeout=0.001)

    assert refused.value.code() == grpc.StatusCode.DEADLINE_EXCEEDED


async def test_a_call_may_ask_for_256_results(client: EncoderClient) -> None:
    """The largest call that the contract allows is served, in either lane."""
    inputs = [Input(encoded(corners()), regions=(BOX,) * 4)] * 64
    for priority in Priority:
        answer = await client.encode(inputs, encoder="tiny", deadline=Deadline.after(60), priority=priority)
        assert len(answer.outcomes) == 256


async def test_an_unknown_priority_is_refused(channel: grpc.aio.Channel) -> None:
    """Both services name the key."""
    image, metadata = encoded(plain()), (("fovea-priority", "urgent"),)
    encode = encoder_pb2.EncodeRequest(encoder="tiny", inputs=[encoder_pb2.Input(image=image)])
    for call in (
        encoder_pb2_grpc.EncoderServiceStub(channel).Encode(encode, timeout=20, metadata=metadata),
        detector_pb2_grpc.DetectorServiceStub(channel).Detect(
            detector_pb2.DetectRequest(image=image), timeout=20, metadata=metadata
        ),
    ):
        with pytest.raises(grpc.aio.AioRpcError, match="fovea-priority: must be interactive or bulk") as refused:
            await call
        assert refused.value.code() == grpc.StatusCode.INVALID_ARGUMENT


async def test_what_was_chosen_for_a_model_is_shown(channel: grpc.aio.Channel) -> None:
    """Its threads and largest batch, in Describe and in the metrics; the cores beside them."""
    described = await encoder_pb2_grpc.EncoderServiceStub(channel).Describe(encoder_pb2.DescribeRequest(), timeout=20)
    tiny = next(info for info in described.encoders if info.name == "tiny")

    assert tiny.threads == max(1, usable_cores() - 1)
    assert tiny.largest_batch >= 1
    labels = {"model": "tiny", "version": "1", "precision": "fp32", "provider": tiny.provider}
    labels |= {"threads": str(tiny.threads), "largest_batch": str(tiny.largest_batch)}
    assert REGISTRY.get_sample_value("fovea_model", labels) == 1
    assert REGISTRY.get_sample_value("fovea_cores") == usable_cores()


async def test_describe_tells_what_a_client_needs(client: EncoderClient) -> None:
    """Encoders are listed by name with space, size, modalities and what they run on; detectors are not among them."""
    tiny, text = await client.describe(deadline=Deadline.after(20))

    assert (tiny.name, tiny.dimension, tiny.modalities) == ("tiny", 16, frozenset({"image", "sketch"}))
    assert (text.name, text.modalities) == ("tiny_text", frozenset({"text"}))
    assert tiny.space == text.space
    assert (tiny.precision, tiny.provider, len(tiny.sha256)) == ("fp32", "CPUExecutionProvider", 64)
    assert (tiny.purpose, tiny.domain, tiny.is_default, tiny.license) == ("Finds colours.", "", True, "Apache-2.0")
    assert (text.languages, text.is_default) == (("en", "de"), False)


async def test_timings_tell_where_the_time_went(channel: grpc.aio.Channel) -> None:
    """Stages are part of the total, and the batch is named."""
    request = encoder_pb2.EncodeRequest(encoder="tiny", inputs=[encoder_pb2.Input(image=encoded(corners()))] * 8)

    response = await encoder_pb2_grpc.EncoderServiceStub(channel).Encode(request, timeout=20)

    timings = response.timings
    assert 0 < timings.decode_ms < timings.total_ms
    assert 0 < timings.infer_ms < timings.total_ms
    assert 1 <= timings.batch_size <= 8
    assert (response.space, response.dimension) != ("", 0)
