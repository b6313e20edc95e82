"""The bundles that ship, through the code that serves them."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from encoders.bundle import Bundle
from encoders.image import decode, resize
from encoders.session import EmbeddingSession
from training.config import read_config
from training.general.train import leave_one_out
from training.objects import evaluate as objects
from training.objects.config import ObjectsConfig
from training.objects.draw import draw_held_out
from training.photos import grocery_photos
from training.world.scene import draw_scene

ROOT = Path(__file__).parents[2]
REALDATA = ROOT.parent / "shared" / "realdata"


@pytest.mark.parametrize("name", ["general", "detector"])
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
def test_general_finds_groceries() -> None:
    """Nine of ten photos never trained on find another photo of the same product first."""
    session = EmbeddingSession(Bundle.load(ROOT / "models" / "general"))
    photos = grocery_photos(REALDATA / "grocery", "val")
    preprocessing = session.bundle.picture_preprocessing
    inputs = [resize(decode(photo.path.read_bytes()).pixels, preprocessing) for photo in photos]
    answers = [
        answer for start in range(0, len(inputs), 16) for answer in session.run(inputs[start : start + 16]).answers
    ]
    embeddings = np.stack([answer for answer in answers if isinstance(answer, np.ndarray)])

    figures = leave_one_out(embeddings, [photo.fine for photo in photos])
    assert figures.recall(1) >= 0.90
    assert figures.recall(1) == pytest.approx(session.bundle.gate["fp32"]["grocery_val_p_at_1"], abs=0.005)


def test_objects_are_found(tmp_path: Path) -> None:
    """In scenes never trained on the detector's mAP50 is at least .80, and nine of ten objects find their like."""
    config = read_config(objects.SHIPPED, ObjectsConfig)
    draw_held_out(replace(config, world=replace(config.world, gallery=24, queries=20)), tmp_path)

    figures = objects.offline(ROOT / "models", tmp_path)

    assert figures["detector_map50"] >= 0.80
    assert figures["retrieval_r5"] >= 0.90
    assert figures["coverage"] >= 0.95


def test_general_tells_drawn_objects_apart() -> None:
    """Most drawn objects, cut out by their boxes, find another one of their kind first."""
    session = EmbeddingSession(Bundle.load(ROOT / "models" / "general"))
    preprocessing = session.bundle.picture_preprocessing
    inputs, labels = [], []
    for number in range(20):
        scene = draw_scene(np.random.default_rng([32, number]), (480, 360))
        for item in scene.objects:
            x_min, y_min, x_max, y_max = np.asarray(item.box) * (scene.picture.size * 2)
            inputs.append(
                resize(np.asarray(scene.picture.crop((int(x_min), int(y_min), int(x_max), int(y_max)))), preprocessing)
            )
            labels.append(item.label)
    answers = [
        answer for start in range(0, len(inputs), 16) for answer in session.run(inputs[start : start + 16]).answers
    ]
    embeddings = np.stack([answer for answer in answers if isinstance(answer, np.ndarray)])

    assert leave_one_out(embeddings, labels).recall(1) >= 0.80
