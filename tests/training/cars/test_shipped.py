"""The bundle that ships, on models that no run trains on."""

from dataclasses import replace
from pathlib import Path

from encoders.bundle import Bundle
from training.cars.config import ProtocolConfig
from training.cars.draw import HELD_OUT, draw
from training.cars.evaluate import CarsEvaluation
from training.cars.photos import load_test_photos
from world.car_dataset import Photos

MODELS = Path(__file__).parents[3] / "models"


def test_bundle_ships_whole() -> None:
    """It has the files that it describes, at most 4 MB in fp32, and says what it was trained on."""
    bundle = Bundle.load(MODELS / "car")

    assert bundle.path_of("fp32").stat().st_size <= 4_000_000
    assert "drawn world" in bundle.trained_on
    assert bundle.gate["inputs"] >= 500


def test_models_never_trained_on_are_found_among_a_thousand_photos() -> None:
    """The gate's figures are of all 1,000 photos and 500 queries, in every precision that ships."""
    bundle = Bundle.load(MODELS / "car")

    assert min(bundle.gate[precision]["map20"] for precision in bundle.precisions) >= 0.8


def test_road_cameras_cars_are_found(tmp_path: Path) -> None:
    """Ten models of two makes, harder than all fifty: what a road camera saw finds its model on the web."""
    draw(tmp_path, replace(HELD_OUT, test_models=10, test=Photos(front=16, other=0, road=4)))

    figures = CarsEvaluation(load_test_photos(tmp_path, ProtocolConfig())).offline(MODELS)

    assert figures["map20"] >= 0.75
    assert figures["r1"] >= figures["map20"] - 0.05
