from pathlib import Path

import pytest

from encoders.bundle import Bundle
from tests.training.cars.test_task import CONFIG
from training.cars.draw import draw
from training.cars.evaluate import CarsEvaluation
from training.cars.export import export, regate
from training.cars.photos import load_test_photos, load_training_photos
from training.cars.task import CarsTask
from training.config import table_of
from training.loop import fit
from training.serving import served


def test_from_photos_to_figures(tmp_path: Path) -> None:
    """Drawn photos train a network; its bundle passes the gate and is measured, exactly, by codes and when served."""
    data, run, out = tmp_path / "data", tmp_path / "run", tmp_path / "models"
    draw(data, CONFIG.world)
    task = CarsTask(CONFIG, load_training_photos(data, CONFIG.protocol, with_types=False), run)

    fit(task, CONFIG.optimiser, run, config=table_of(CONFIG), seed=CONFIG.seed, max_steps=2)
    exported = export(run, load_test_photos(data, CONFIG.protocol), out, fewest_inputs=8)
    # Without the checkpoint the smaller precisions come from the fp32 file, and are the same.
    assert regate(out, load_test_photos(data, CONFIG.protocol), fewest_inputs=8) == exported
    test = CarsEvaluation(load_test_photos(data, CONFIG.protocol))
    figures = test.offline(out)

    bundle = Bundle.load(out / "car")
    assert bundle.dimension == 64
    assert bundle.image_preprocessing.size == (48, 40)
    assert figures["map20"] > 0
    assert figures["map_found20"] >= figures["map20"]
    with served(out / "car") as running:
        asked = test.online(running)
        test.draw_sheet(running, tmp_path / "sheet.jpg")
    # Embeddings of a network that has learnt next to nothing all but tie.
    assert asked == pytest.approx({name: figures[name] for name in asked}, abs=0.2)
    assert (tmp_path / "sheet.jpg").read_bytes().startswith(b"\xff\xd8")
    # Every code of the gallery is looked at, and there are 6.
    assert figures["lopq_recall20"] == pytest.approx(1.0)
