"""The detector that ships, on the photos of the demo."""

import json
from pathlib import Path

import numpy as np
import pytest

from domain.detection import Detection
from encoders.bundle import Bundle
from encoders.images.decoding import decode
from encoders.images.resizing import resize
from encoders.serving.detection import postprocess
from encoders.serving.session import DetectorSession, RawDetections

ROOT = Path(__file__).parents[2]
PHOTOS = ROOT / "cli" / "photos"
# What OpenCV 4.10 finds with the published .cfg and .weights: labels, scores of at least .4, and boxes in normalized
# coordinates that are not clipped to the image. It shares no code with Fovea's importer.
EXPECTED = json.loads(Path(__file__).with_name("shipped_detector_boxes.json").read_text())


@pytest.fixture(scope="module")
def detector() -> DetectorSession:
    return DetectorSession(Bundle.load(ROOT / "models" / "detector"))


def detect(detector: DetectorSession, photo: str) -> tuple[list[Detection], tuple[int, int]]:
    """What is found in a photo of the demo, and its width and height."""
    pixels = decode((PHOTOS / photo).read_bytes()).pixels
    height_px, width_px = pixels.shape[:2]
    preprocessing = detector.bundle.image_preprocessing
    (raw,) = detector.run([resize(pixels, preprocessing)]).results
    assert isinstance(raw, RawDetections)
    found = postprocess(
        raw,
        labels=detector.bundle.labels,
        image_px=(width_px, height_px),
        preprocessing=preprocessing,
        min_score=0.4,
        limit=100,
        max_overlap=detector.bundle.max_overlap,
    )
    return found, (width_px, height_px)


@pytest.mark.parametrize("photo", EXPECTED)
def test_boxes_are_those_of_an_independent_decode(detector: DetectorSession, photo: str) -> None:
    """Labels in their order, boxes within 1 pixel, scores within .005."""
    found, image_px = detect(detector, photo)

    expected = EXPECTED[photo]
    assert [item.label for item in found] == [item["label"] for item in expected]
    for item, other in zip(found, expected, strict=True):
        assert item.score == pytest.approx(other["score"], abs=0.005)
        difference_px = (np.array(item.box) - np.clip(other["box"], 0, 1)) * np.tile(image_px, 2)
        assert np.abs(difference_px).max() < 1


def test_the_shipped_detector_is_the_default_and_says_where_it_comes_from() -> None:
    """It is used where none is named; the drawn one is not."""
    shipped, drawn = (Bundle.load(ROOT / "models" / name) for name in ("detector", "drawn-detector"))

    assert (shipped.is_default, drawn.is_default) == (True, False)
    assert (len(shipped.labels), len(drawn.labels)) == (80, 13)
    assert "public domain" in shipped.licence
    assert "yolo-fastest-1.1-xl" in shipped.attribution
    assert "detector" in (ROOT / "models" / "NOTICE.md").read_text()
