from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from encoders.bundle import Bundle
from encoders.session import DetectorSession, RawDetections
from tests.support.realdata import write_small_realdata
from training.average_precision import ScoredBox, mean_average_precision
from training.config import read_config
from training.losses.yolo import assign, generalised_iou, yolo_loss
from training.objects.export import export
from training.objects.scenes import Scenes
from training.objects.train import DetectorConfig, augment, build_network, prepare, train
from training.world.kinds import LABELS

CONFIG = Path(__file__).parents[3] / "training" / "configs" / "detector.toml"


def small_config() -> DetectorConfig:
    config = read_config(CONFIG, DetectorConfig)
    return replace(
        config,
        data=replace(config.data, drawn=4, composed=4, held_out=3, size_px=64),
        network=replace(config.network, widths=(4, 4, 8, 8, 8), neck=8),
        optimiser=replace(config.optimiser, batch=4, epochs=2),
    )


def test_a_run_ends_in_a_bundle(tmp_path: Path) -> None:
    """From drawn scenes to a bundle that serves: prepare, two steps, the gate, boxes and scores for every label."""
    realdata, run, config = write_small_realdata(tmp_path / "realdata"), tmp_path / "run", small_config()

    prepare(config, realdata, run)
    scenes = Scenes.open(run / "scenes")
    assert len(scenes.pixels) == len(scenes.truths) == 8
    train(config, run, max_steps=2)
    bundle = export(run, realdata, tmp_path / "detector", fewest_inputs=8)

    assert Bundle.load(tmp_path / "detector") == bundle
    (raw,) = DetectorSession(bundle).run([np.array(scenes.pixels[0])]).answers
    assert isinstance(raw, RawDetections)
    assert raw.scores.shape == (len(raw.boxes), len(LABELS))
    assert (raw.scores >= 0).all()
    assert (raw.scores <= 1).all()


def test_training_learns_one_scene() -> None:
    """On a single picture the loss falls to a small part of what it was."""
    torch.manual_seed(0)
    network = build_network(small_config())
    picture = torch.randn(1, 3, 64, 64)
    truths = [torch.tensor([[2.0, 0.1, 0.2, 0.4, 0.5], [5.0, 0.5, 0.5, 0.95, 0.9]])]
    optimiser = torch.optim.Adam(network.parameters(), 1e-2)
    losses = []
    for _ in range(60):
        loss = yolo_loss(network, network.predict(picture), truths)
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]  # torch leaves it so
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < 0.2 * losses[0]


def test_every_object_has_an_answering_guess() -> None:
    """Each object, however odd its shape, is answered for by the cell under its centre."""
    network = build_network(small_config())
    truth = torch.tensor([[0.0, 0.0, 0.0, 0.02, 0.9], [3.0, 0.3, 0.3, 0.5, 0.5], [4.0, 0.9, 0.9, 1.0, 1.0]])
    empty = torch.zeros(0, 5)

    matched = assign(network, [empty, truth])

    assert set(matched.label.tolist()) == {0, 3, 4}
    assert (matched.picture == 1).all()
    boxes = network.eval().predict(torch.zeros(2, 3, 64, 64)).boxes
    centres = (boxes[1, matched.guess, :2] + boxes[1, matched.guess, 2:]) / 2
    wanted = (matched.box[:, :2] + matched.box[:, 2:]) / 2
    assert ((centres - wanted).abs() <= 1 / 2).all()


def test_a_batch_without_objects_has_a_loss() -> None:
    """Pictures of nothing teach that there is nothing."""
    network = build_network(small_config())
    loss = yolo_loss(network, network.predict(torch.zeros(2, 3, 64, 64)), [torch.zeros(0, 5)] * 2)
    assert torch.isfinite(loss)


def test_generalised_iou() -> None:
    """Equal boxes have 1; boxes apart have less than 0, and less the farther they are."""
    box = torch.tensor([[0.0, 0.0, 0.2, 0.2]] * 3)
    others = torch.tensor([[0.0, 0.0, 0.2, 0.2], [0.3, 0.0, 0.5, 0.2], [0.8, 0.0, 1.0, 0.2]])
    equal, near, far = generalised_iou(box, others).tolist()
    assert equal == pytest.approx(1)
    assert 0 > near > far > -1


def test_mirroring_takes_the_boxes_along() -> None:
    """Where the picture is mirrored its boxes are, so what was painted stays inside."""
    pixels = torch.zeros(8, 20, 20, 3, dtype=torch.uint8)
    pixels[:, 4:10, 2:6] = 255
    truths = [torch.tensor([[1.0, 0.1, 0.2, 0.3, 0.5]])] * 8
    pictures, boxes = augment(pixels, truths, torch.Generator().manual_seed(0))
    assert len({tuple(box[0].tolist()) for box in boxes}) == 2
    for picture, box in zip(pictures, boxes, strict=True):
        x_min, y_min, x_max, y_max = (box[0, 1:] * 20).round().int().tolist()
        assert picture[:, y_min:y_max, x_min:x_max].mean() > picture.mean() + 1


def test_mean_average_precision() -> None:
    """A box found twice counts once, a wrong one above a right one costs, and a class not found counts 0."""
    truths = [np.asarray([[0, 0, 0, 0.5, 0.5], [1, 0.5, 0.5, 1, 1]], np.float32), np.zeros((0, 5), np.float32)]
    right, wrong = (0.0, 0.0, 0.5, 0.48), (0.6, 0.0, 0.9, 0.4)
    perfect = [[ScoredBox(0, 0.9, right), ScoredBox(0, 0.8, right), ScoredBox(1, 0.7, (0.5, 0.5, 1.0, 1.0))], []]
    worse = [[ScoredBox(0, 0.5, right)], [ScoredBox(0, 0.9, wrong)]]
    assert mean_average_precision(perfect, truths) == pytest.approx(1.0)
    assert mean_average_precision(worse, truths) == pytest.approx(0.25)
