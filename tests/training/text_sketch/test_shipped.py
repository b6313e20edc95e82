"""The bundles that ship, through the code that serves them, on scenes that they were never trained on."""

from pathlib import Path

import pytest

from encoders.bundle import Bundle
from training.datasets.coco_karpathy import load_coco_karpathy
from training.text_sketch.evaluate import TextSketchEvaluation
from training.text_sketch.export import IMAGE, TEXT
from world.coco_karpathy import write_coco_karpathy

MODELS = Path(__file__).parents[3] / "models"
PHOTOS = 120


def test_bundles_ship_whole() -> None:
    """They share a space, are as small as promised, and were gated on enough real inputs."""
    image, text = Bundle.load(MODELS / IMAGE), Bundle.load(MODELS / TEXT)
    assert image.space == text.space
    assert image.modalities == ("image", "sketch")
    assert image.path_of("fp32").stat().st_size <= 6_000_000
    assert text.path_of("fp32").stat().st_size <= 2_500_000
    assert image.gate["inputs"] >= 500
    assert text.gate["inputs"] >= 500
    assert image.licence
    assert image.trained_on


@pytest.fixture(scope="module")
def figures(tmp_path_factory: pytest.TempPathFactory) -> dict[str, float]:
    data = tmp_path_factory.mktemp("coco")
    write_coco_karpathy(data, {"test": PHOTOS})
    return TextSketchEvaluation(load_coco_karpathy(data).of("test")).offline(MODELS)


def test_sentence_and_sketch_find_more_than_either(figures: dict[str, float]) -> None:
    """Among a part of the held-out photos too, where the sketch alone leaves little to gain."""
    assert figures["both_r1"] >= max(figures["text_r1"], figures["sketch_r1"]) + 0.03
    assert figures["both_r1"] >= 0.9
    assert figures["both_r10"] >= 0.97


def test_both_gain_ten_points_among_a_thousand() -> None:
    """The gate's figures are of all 1,000 held-out photos."""
    figures = Bundle.load(MODELS / IMAGE).gate["fp32"]
    assert figures["both_r1"] >= max(figures["text_r1"], figures["sketch_r1"]) + 0.1


def test_each_alone_is_far_from_guessing(figures: dict[str, float]) -> None:
    """A guess finds one photo in 120 first."""
    assert figures["text_r10"] >= 0.85
    assert figures["sketch_r1"] >= 0.8
