"""The bundles that ship, through the code that serves them."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from encoders.bundle import Bundle
from encoders.images.resizing import resize
from training.config import read_config
from training.embed import embed
from training.everyday_objects import EverydayObjects
from training.general.config import GeneralConfig
from training.general.system import GeneralSystem
from training.general.validation import leave_one_out
from training.objects.config import ObjectsConfig
from training.objects.draw import draw_held_out
from training.objects.evaluate import ObjectsEvaluation
from training.runner import CONFIGS
from world.scene import draw_scene

ROOT = Path(__file__).parents[2]
REALDATA = ROOT.parent / "shared" / "realdata"


@pytest.mark.parametrize("name", ["general", "drawn-detector"])
def test_bundle_ships_whole(name: str) -> None:
    """A shipped bundle has the files it describes, at most 10 MB of them, and says where it comes from."""
    bundle = Bundle.load(ROOT / "models" / name)
    assert bundle.name == name
    assert sum(bundle.path_of(precision).stat().st_size for precision in bundle.precisions) <= 10_000_000
    assert "Marcus Klasson" in bundle.attribution
    assert "Alexey Grigorev" in bundle.attribution
    assert bundle.licence
    assert bundle.gate["inputs"] >= 300


@pytest.mark.realdata
@pytest.mark.skipif(not REALDATA.is_dir(), reason="needs the photos of ../shared/realdata")
def test_general_finds_groceries(tmp_path: Path) -> None:
    """Of photos never trained on, 93 of 100 find another photo of the same product first."""
    system, config = GeneralSystem(), read_config(CONFIGS / "general.toml", GeneralConfig)
    system.draw_held_out(config, tmp_path, REALDATA)
    figures = system.evaluation(config, tmp_path).offline(ROOT / "models")

    assert figures["grocery_val_p1"] >= 0.93
    assert figures["grocery_val_map"] >= 0.75
    gate = Bundle.load(ROOT / "models" / "general").gate["fp32"]
    assert {name: gate[name] for name in figures} == pytest.approx(figures, abs=0.005)


def test_objects_are_found(tmp_path: Path) -> None:
    """In scenes never trained on the drawn detector's mAP50 is at least .80, and nine of ten objects find their like."""
    config = read_config(CONFIGS / "objects.toml", ObjectsConfig)
    draw_held_out(replace(config, world=replace(config.world, gallery=24, queries=20)), tmp_path)

    figures = ObjectsEvaluation.read(config.data, tmp_path).offline(ROOT / "models")

    assert figures["detector_map50"] >= 0.80
    assert figures["retrieval_r5"] >= 0.90
    assert figures["coverage"] >= 0.95


@pytest.mark.realdata
@pytest.mark.skipif(not REALDATA.is_dir(), reason="needs the photos of ../shared/realdata")
def test_everyday_kinds_are_found_in_photos() -> None:
    """Ranked by the score of a kind, everyday photos that show it come first, its boxes are right, and nine of ten photos have one."""
    figures = EverydayObjects.read(REALDATA).offline(ROOT / "models")

    assert figures["kinds_map"] >= 0.90
    assert figures["map50"] >= 0.71
    assert figures["coverage"] >= 0.90


def test_general_tells_drawn_objects_apart() -> None:
    """Most drawn objects, cut out by their boxes, find another one of their kind first."""
    bundle = Bundle.load(ROOT / "models" / "general")
    inputs, labels = [], []
    for number in range(20):
        scene = draw_scene(np.random.default_rng([32, number]), (480, 360))
        for item in scene.objects:
            x_min, y_min, x_max, y_max = np.asarray(item.box) * (scene.image.size * 2)
            crop = scene.image.crop((int(x_min), int(y_min), int(x_max), int(y_max)))
            inputs.append(resize(np.asarray(crop), bundle.image_preprocessing))
            labels.append(item.label)

    assert leave_one_out(embed(bundle, inputs), labels).recall(1) >= 0.80
