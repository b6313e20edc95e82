"""Real photos and real weights over the wire."""

import io
import json
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import grpc
import numpy as np
import pytest
from PIL import Image, ImageOps

from domain.box import Box
from encoders.importers.darknet.detector import import_darknet
from encoders.importers.model_file import read_labels
from encoders.importers.onnx.embedder import import_onnx
from encoders.importers.onnx.spec import ImageSpec
from rpc.channel import open_channel
from rpc.clients import DetectorClient, Embedded, EncoderClient, Input
from rpc.deadline import Deadline
from rpc.server import ThreadServer
from services.encoder.models import Models
from services.encoder.offering import SERVICES, offering
from services.encoder.settings import EncoderSettings
from tests.support.images import encoded, turned

REALDATA = Path(__file__).parents[4] / "shared" / "realdata"
NANO = REALDATA / "detector" / "MobileNetV2-YOLOv3-Nano-voc.weights"
SPEC = ImageSpec.of({"size": [224, 224], "mean": 127.5, "std": 127.5, "input": "image", "output": "embedding"})
PHOTOS = ("dog", "eagle", "giraffe", "horses", "person")

pytestmark = [
    pytest.mark.realdata,
    pytest.mark.skipif(not REALDATA.is_dir(), reason="needs the photos and weights of ../shared/realdata"),
]


@pytest.fixture(scope="module")
def port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    folder = tmp_path_factory.mktemp("models")
    mobilenet = REALDATA / "bundles" / "mobilenet_v2_imagenet.onnx"
    import_onnx(mobilenet, name="mobilenet_v2", spec=SPEC, out=folder)
    labels = read_labels(REALDATA / "detector" / "voc.names")
    import_darknet(NANO, cfg=NANO.with_suffix(".cfg"), name="nano", labels=labels, out=folder)
    settings = EncoderSettings(bundles=(folder / "mobilenet_v2", folder / "nano"), provider="cpu", drain_s=1)
    with (
        Models(settings) as models,
        ThreadServer(settings, services=SERVICES) as server,
        offering(server, settings, models),
    ):
        yield server.port


@pytest.fixture
async def channel(port: int) -> AsyncIterator[grpc.aio.Channel]:
    async with open_channel(f"127.0.0.1:{port}") as opened:
        yield opened


async def embed(channel: grpc.aio.Channel, *inputs: Input) -> np.ndarray:
    """Encodes inputs, (N, D)."""
    answer = await EncoderClient(channel).encode(inputs, encoder="", deadline=Deadline.after(120))
    assert all(isinstance(outcome, Embedded) for outcome in answer.outcomes), answer.outcomes
    return np.stack([outcome.embedding for outcome in answer.outcomes if isinstance(outcome, Embedded)])


def photo(kind: str, orientation: int) -> bytes:
    """One of the 18 photos of EXIF orientations."""
    return (REALDATA / "exif" / f"{kind}_{orientation}.jpg").read_bytes()


@pytest.mark.parametrize("kind", ["Landscape", "Portrait"])
async def test_photos_of_every_orientation_are_upright(channel: grpc.aio.Channel, kind: str) -> None:
    """Each photo gives the embedding of the same photo that other code turned upright."""
    photos = [photo(kind, orientation) for orientation in range(9)]
    upright = [
        encoded(ImageOps.exif_transpose(Image.open(io.BytesIO(data))).convert("RGB"), "PNG", compress_level=1)
        for data in photos
    ]

    stored = await embed(channel, *(Input(data) for data in photos))
    expected = await embed(channel, *(Input(data) for data in upright))

    assert (stored * expected).sum(axis=1).min() >= 0.99


@pytest.mark.parametrize("kind", ["Landscape", "Portrait"])
async def test_one_photo_in_all_orientations_is_one_embedding(channel: grpc.aio.Channel, kind: str) -> None:
    """The same photo stored in any of the eight ways, without tag and with tag 0, gives one embedding."""
    upright = Image.open(io.BytesIO(photo(kind, 1))).convert("RGB")
    stored = [turned(upright, orientation) for orientation in range(9)]

    embeddings = await embed(channel, *(Input(data) for data in stored))

    assert (embeddings @ embeddings[1]).min() >= 0.98


@pytest.mark.parametrize(
    ("kind", "region"), [("Landscape", (0.0, 0.55, 0.45, 0.95)), ("Portrait", (0.0, 0.55, 1.0, 0.9))]
)
async def test_regions_are_those_of_the_upright_photo(channel: grpc.aio.Channel, kind: str, region: Box) -> None:
    """A region shows the same in all nine files, whose painted numbers differ elsewhere."""
    embeddings = await embed(channel, *(Input(photo(kind, orientation), regions=(region,)) for orientation in range(9)))

    assert (embeddings @ embeddings[1]).min() >= 0.98


async def test_large_jpegs_lose_nothing_by_partial_decoding(channel: grpc.aio.Channel) -> None:
    """A JPEG decoded at a fraction gives the embedding of the same pixels as PNG, which cannot be."""
    large = [Image.open(REALDATA / "detector" / f"{name}.jpg").convert("RGB").resize((1800, 1350)) for name in PHOTOS]
    jpegs = [encoded(image, "JPEG", quality=92) for image in large]
    pngs = [encoded(Image.open(io.BytesIO(data)), "PNG", compress_level=1) for data in jpegs]

    partial = await embed(channel, *(Input(data) for data in jpegs))
    full = await embed(channel, *(Input(data) for data in pngs))

    assert (partial * full).sum(axis=1).min() >= 0.99


@pytest.mark.parametrize("name", PHOTOS)
async def test_the_imported_detector_finds_the_published_boxes(channel: grpc.aio.Channel, name: str) -> None:
    """Boxes within 2 pixels and scores within .01 of what an independent reader finds."""
    expected = json.loads((REALDATA / "detector" / "expected_boxes.json").read_text())["detections"][name]
    data = (REALDATA / "detector" / f"{name}.jpg").read_bytes()

    found = await DetectorClient(channel).detect(data, detector="", min_score=0.25, deadline=Deadline.after(60))

    assert [item.label for item in found.detections] == [box["cls"] for box in expected]
    image_px = np.asarray([found.width_px, found.height_px] * 2)
    for item, box in zip(found.detections, expected, strict=True):
        assert item.score == pytest.approx(box["score"], abs=0.01)
        np.testing.assert_allclose(np.asarray(item.box) * image_px, np.clip(box["xyxy"], 0, image_px), atol=2)
