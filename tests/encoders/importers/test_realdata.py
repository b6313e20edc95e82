import json
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
from numpy.typing import NDArray

from encoders.bundle import Bundle
from encoders.images.decoding import decode
from encoders.images.resizing import resize
from encoders.importers.darknet.detector import import_darknet
from encoders.importers.model_file import read_labels
from encoders.importers.onnx.detector import import_detector
from encoders.importers.onnx.detector_spec import DetectorSpec
from encoders.importers.onnx.embedder import import_onnx
from encoders.importers.onnx.spec import ImageSpec
from encoders.serving.detection import postprocess
from encoders.serving.session import DetectorSession, EmbeddingSession, RawDetections
from tests.support.darknet import write_network

REALDATA = Path(__file__).parents[4] / "shared" / "realdata"
MOBILENET = REALDATA / "bundles" / "mobilenet_v2_imagenet.onnx"
DETECTOR = REALDATA / "detector"
NANO = "MobileNetV2-YOLOv3-Nano-voc"
SPEC = ImageSpec.of({"size": [224, 224], "mean": 127.5, "std": 127.5, "input": "image", "output": "embedding"})
TOLERANCE = 0.01

pytestmark = [
    pytest.mark.realdata,
    pytest.mark.skipif(not REALDATA.is_dir(), reason="needs the photos and weights of ../shared/realdata"),
]


@pytest.fixture(scope="module")
def mobilenet(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return import_onnx(MOBILENET, name="mobilenet_v2", spec=SPEC, out=tmp_path_factory.mktemp("models"))


@pytest.fixture(scope="module")
def detector(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return import_darknet(
        DETECTOR / f"{NANO}.weights",
        cfg=DETECTOR / f"{NANO}.cfg",
        name="nano",
        labels=read_labels(DETECTOR / "voc.names"),
        out=tmp_path_factory.mktemp("models"),
    )


def grocery() -> Iterator[tuple[Path, int]]:
    """The validation photos and their fine classes."""
    for line in (REALDATA / "grocery" / "val.txt").read_text().splitlines():
        path, fine, _ = line.split(",")
        yield REALDATA / "grocery" / path, int(fine)


def prepared(bundle: Bundle, path: Path) -> NDArray[np.uint8]:
    assert bundle.preprocessing is not None
    return resize(decode(path.read_bytes()).pixels, bundle.preprocessing)


def test_mobilenet_computes_what_the_plain_model_computes(mobilenet: Bundle) -> None:
    """The imported graph on raw pixels agrees with the original one on pixels prepared in numpy."""
    plain = onnxruntime.InferenceSession(MOBILENET, providers=["CPUExecutionProvider"])
    session = EmbeddingSession(mobilenet)

    for path, _ in list(grocery())[::30]:
        pixels = prepared(mobilenet, path)
        floats = ((pixels.astype(np.float32) - 127.5) / 127.5).transpose(2, 0, 1)[None]
        expected = plain.run(["embedding"], {"image": floats})[0][0]
        embedding = np.asarray(session.run([pixels]).results[0])
        assert embedding @ expected / np.linalg.norm(expected) >= 0.9999
        assert np.linalg.norm(embedding) == pytest.approx(1, abs=1e-5)


def test_mobilenet_finds_groceries_as_well_as_it_should(mobilenet: Bundle) -> None:
    """Each photo against all others, fine classes: P@1 .902, R@5 .963, mAP .701."""
    photos = list(grocery())
    session = EmbeddingSession(mobilenet)
    embeddings = np.stack([np.asarray(session.run([prepared(mobilenet, path)]).results[0]) for path, _ in photos])
    classes = np.array([fine for _, fine in photos])

    scores = embeddings @ embeddings.T
    np.fill_diagonal(scores, -np.inf)
    ranked = np.argsort(-scores, axis=1, kind="stable")[:, :-1]
    relevant = classes[ranked] == classes[:, None]
    relevant = relevant[relevant.any(axis=1)]
    precisions = relevant.cumsum(axis=1) / np.arange(1, relevant.shape[1] + 1)
    average_precision = (precisions * relevant).sum(axis=1) / relevant.sum(axis=1)

    assert relevant[:, 0].mean() == pytest.approx(0.902, abs=TOLERANCE)
    assert relevant[:, :5].any(axis=1).mean() == pytest.approx(0.963, abs=TOLERANCE)
    assert average_precision.mean() == pytest.approx(0.701, abs=TOLERANCE)


@pytest.mark.parametrize("photo", ["dog", "eagle", "giraffe", "horses", "person"])
def test_detector_finds_what_an_independent_reader_finds(detector: Bundle, photo: str) -> None:
    """Boxes within 2 pixels and scores within .01 of the published ones, clipped to the image."""
    expected = json.loads((DETECTOR / "expected_boxes.json").read_text())["detections"][photo]
    image = decode((DETECTOR / f"{photo}.jpg").read_bytes())
    height_px, width_px = image.pixels.shape[:2]
    assert detector.preprocessing is not None
    answer = DetectorSession(detector).run([resize(image.pixels, detector.preprocessing)]).results[0]
    assert isinstance(answer, RawDetections)

    found = postprocess(
        answer,
        labels=detector.labels,
        image_px=(width_px, height_px),
        preprocessing=detector.preprocessing,
        min_score=0.25,
        limit=100,
    )

    assert [detection.label for detection in found] == [box["cls"] for box in expected]
    image_px = np.array([width_px, height_px] * 2)
    for detection, box in zip(found, expected, strict=True):
        assert detection.score == pytest.approx(box["score"], abs=0.01)
        corners = np.clip(box["xyxy"], 0, image_px)
        np.testing.assert_allclose(np.array(detection.box) * image_px, corners, atol=2)


@pytest.mark.parametrize("name", ["yolov3-tiny", "yolov3", "yolov3-spp"])
def test_original_networks_build_load_and_run(tmp_path: Path, name: str) -> None:
    """The authors' own .cfg files, at a small input and with random weights, become bundles that run."""
    text = re.sub(r"(?m)^(width|height)=.*$", r"\1=96", (DETECTOR / f"{name}.cfg").read_text())
    cfg, weights, _ = write_network(tmp_path, text)

    bundle = import_darknet(
        weights, cfg=cfg, name=name, labels=read_labels(DETECTOR / "coco.names"), out=tmp_path / "models"
    )

    answer = DetectorSession(bundle).run([np.zeros((96, 96, 3), np.uint8)]).results[0]
    assert isinstance(answer, RawDetections)
    cells = 3**2 + 6**2 + (0 if name == "yolov3-tiny" else 12**2)
    assert answer.boxes.shape == (3 * cells, 4)
    assert answer.scores.shape == (3 * cells, 80)


def test_detector_as_onnx_finds_the_same(detector: Bundle, tmp_path: Path) -> None:
    """The trained network, read again as any ONNX detector with boxes and scores, finds the same to the last digit."""
    spec = DetectorSpec.of(
        {
            "image": {"size": list(detector.image_preprocessing.size), "layout": "NHWC", "dtype": "uint8"},
            "detector": {"head": "pair", "box": "xyxy", "activation": "none", "max_overlap": 0.45},
        }
    )
    again = import_detector(
        detector.path_of("fp32"), name="again", spec=spec, labels=detector.labels, out=tmp_path, fp16=True
    )

    for photo in ("dog", "eagle", "giraffe", "horses", "person"):
        image = [prepared(detector, DETECTOR / f"{photo}.jpg")]
        (first,) = DetectorSession(detector).run(image).results
        (second,) = DetectorSession(again).run(image).results
        assert isinstance(first, RawDetections)
        assert isinstance(second, RawDetections)
        np.testing.assert_allclose(second.boxes, first.boxes, atol=1e-5)
        np.testing.assert_allclose(second.scores, first.scores, atol=1e-5)
