"""DetectorService over a real port."""

import grpc
import pytest

from domain.box import Box
from fovea.detector.v1 import detector_pb2, detector_pb2_grpc
from rpc.clients import Detected, DetectorClient
from rpc.deadline import Deadline
from rpc.errors import InvalidArgument, NotFound, ServiceError
from tests.support.images import HOSTILE, blocks, corners, encoded, plain, turned

PLACED: dict[str, Box] = {"red": (0.1, 0.2, 0.4, 0.6), "blue": (0.5, 0.5, 0.9, 0.9)}


@pytest.fixture
def client(channel: grpc.aio.Channel) -> DetectorClient:
    return DetectorClient(channel)


async def detect(client: DetectorClient, image: bytes, *, min_score: float | None = None, limit: int = 0) -> Detected:
    """Detects with the only detector there is."""
    deadline = Deadline.after(20)
    return await client.detect(image, detector="", min_score=min_score, limit=limit, deadline=deadline)


@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
async def test_objects_are_found_in_upright_coordinates(client: DetectorClient, orientation: int) -> None:
    """Boxes are those of the image as people see it, however it is stored."""
    found = await detect(client, turned(blocks(PLACED), orientation))

    assert (found.width_px, found.height_px) == (160, 120)
    assert {item.label for item in found.detections} == {"red", "blue"}
    for item in found.detections:
        assert item.box == pytest.approx(PLACED[item.label], abs=0.03)
        assert item.score > 0.9
        assert ["red", "green", "blue", "yellow"][item.class_id] == item.label


async def test_the_best_come_first_and_no_more_than_asked_for(client: DetectorClient) -> None:
    """`limit` keeps the best, `min_score` drops the doubtful, and finding nothing is an answer."""
    everything = await detect(client, encoded(corners()))
    best = await detect(client, encoded(corners()), limit=1)
    nothing = await detect(client, encoded(plain("white")))

    scores = [item.score for item in everything.detections]
    assert scores == sorted(scores, reverse=True)
    assert len(scores) == 4
    assert best.detections == everything.detections[:1]
    assert nothing.detections == ()


async def test_animations_are_warned_about(client: DetectorClient) -> None:
    """A warning says that only the first frame was read."""
    found = await detect(client, encoded(corners(), "GIF", save_all=True, append_images=[plain("red")]))

    assert found.warnings == ("only the first frame was read",)


@pytest.mark.parametrize("name", HOSTILE)
async def test_hostile_images_are_refused(client: DetectorClient, name: str) -> None:
    """What is not an image gets a sentence, and the next call works."""
    data, words = HOSTILE[name]

    with pytest.raises(InvalidArgument) as refused:
        await detect(client, data)

    assert words in refused.value.message
    assert refused.value.reason == "UNSUPPORTED_PICTURE"
    assert (await detect(client, encoded(corners()))).detections


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({"min_score": float("nan")}, InvalidArgument, "min_score"),
        ({"min_score": 1.5}, InvalidArgument, "min_score"),
        ({"limit": -1}, InvalidArgument, "limit"),
    ],
)
async def test_impossible_limits_name_their_field(
    client: DetectorClient, change: dict[str, float], error: type[ServiceError], words: str
) -> None:
    """A wrong number is refused by name."""
    with pytest.raises(error, match=words):
        await detect(client, encoded(corners()), **change)  # type: ignore[arg-type]


async def test_an_unknown_detector_is_not_found(client: DetectorClient) -> None:
    """An encoder is not a detector."""
    with pytest.raises(NotFound, match="there is tiny_detector"):
        await client.detect(encoded(corners()), detector="tiny", deadline=Deadline.after(20))


async def test_describe_lists_labels(client: DetectorClient, channel: grpc.aio.Channel) -> None:
    """Labels, version and file are listed."""
    (info,) = await client.describe(deadline=Deadline.after(20))
    raw = await detector_pb2_grpc.DetectorServiceStub(channel).Describe(detector_pb2.DescribeRequest(), timeout=20)

    assert (info.name, info.version, info.labels) == ("tiny_detector", "1", ("red", "green", "blue", "yellow"))
    assert raw.detectors[0].provider == "CPUExecutionProvider"
    assert (info.domain, info.is_default, info.license) == ("coloured blocks", True, "Apache-2.0")
