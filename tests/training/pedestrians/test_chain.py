"""Pedestrian search from drawing to serving, tiny: the steps fit together, and a run that was cut off goes on."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from encoders.bundle import Bundle
from encoders.serving.text import Tokenizer
from training.config import read_config, table_of
from training.datasets.pedestrians import load_pedestrians
from training.loop import CHECKPOINT, fit
from training.pedestrians.config import PedestriansConfig
from training.pedestrians.draw import HELD_OUT_ALBUM, draw_all
from training.pedestrians.evaluate import PedestriansEvaluation
from training.pedestrians.export import IMAGE, TEXT, export, regate
from training.pedestrians.task import Pairs, PedestriansTask
from training.serving import served

CONFIGS = Path(__file__).parents[3] / "training" / "configs"


def tiny() -> PedestriansConfig:
    config = read_config(CONFIGS / "pedestrians_ci.toml", PedestriansConfig)
    return replace(
        config,
        world=replace(config.world, train=6, val=2, test=4),
        data=replace(config.data, size_px=(16, 32), min_count=1),
        network=replace(config.network, width=0.125, word_dimension=8, hidden=8, dimension=16),
        optimiser=replace(config.optimiser, batch=8, epochs=3),
    )


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve people, 48 images."""
    folder = tmp_path_factory.mktemp("pedestrians")
    draw_all(folder, tiny().world)
    return folder


def train(config: PedestriansConfig, data: Path, run: Path) -> None:
    torch.manual_seed(config.seed)
    task = PedestriansTask(config, load_pedestrians(data), run)
    fit(task, config.optimiser, run, config=table_of(config), seed=config.seed)


def test_a_run_ends_in_two_bundles_that_serve(data: Path, tmp_path: Path) -> None:
    """Both share a space, and a running system finds what the bundles in this process find."""
    train(tiny(), data, tmp_path)
    lines = (tmp_path / "log.csv").read_text().splitlines()
    assert lines[0] == "epoch,loss,r1,r10,map,seconds"
    assert len(lines) == 4

    models = tmp_path / "models"
    image, text = export(tmp_path, load_pedestrians(data), models, fewest_inputs=8)
    assert (Bundle.load(models / IMAGE), Bundle.load(models / TEXT)) == (image, text)
    assert regate(models, load_pedestrians(data), fewest_inputs=8) == (image, text), "the checkpoint is not needed"
    assert image.space == text.space
    assert Tokenizer(text).encode("A person wears a blue T-shirt.").warnings == ()

    test = PedestriansEvaluation(load_pedestrians(data))
    offline = test.offline(models)
    with served(models / IMAGE, models / TEXT) as running:
        online = test.online(running)
        test.draw_sheet(running, tmp_path / "sheet.jpg")
    # Embeddings of a network that has learnt next to nothing all but tie: a few of 32 captions may change places.
    assert online == pytest.approx({name: offline[name] for name in online}, abs=0.1)
    assert (tmp_path / "sheet.jpg").read_bytes().startswith(b"\xff\xd8")


def test_a_cut_off_run_goes_on(data: Path, tmp_path: Path) -> None:
    """Started anew from the checkpoint of its second epoch, it ends with the weights of a run in one go."""
    config = tiny()
    train(config, data, tmp_path / "whole")
    _cut_off_after(2, config, data, tmp_path / "cut")
    train(config, data, tmp_path / "cut")

    whole, cut = (torch.load(tmp_path / run / CHECKPOINT, weights_only=True)["weights"] for run in ("whole", "cut"))
    assert all(torch.equal(whole[name], cut[name]) for name in whole)


class CutOff(PedestriansTask):
    """A run that the machine ends after some epochs."""

    epochs_left: int

    def batches(self, rng: np.random.Generator) -> Iterator[Pairs]:
        """An epoch, or the end."""
        if not self.epochs_left:
            raise KeyboardInterrupt
        self.epochs_left -= 1
        return super().batches(rng)


def _cut_off_after(epochs: int, config: PedestriansConfig, data: Path, run: Path) -> None:
    torch.manual_seed(config.seed)
    task = CutOff(config, load_pedestrians(data), run)
    task.epochs_left = epochs
    with pytest.raises(KeyboardInterrupt):
        fit(task, config.optimiser, run, config=table_of(config), seed=config.seed)


def test_held_out_people_are_of_an_album_of_their_own(data: Path) -> None:
    """No config can name the album of the test split as its own, and no identity is in two splits."""
    for path in CONFIGS.glob("pedestrians*.toml"):
        assert read_config(path, PedestriansConfig).world.seed != HELD_OUT_ALBUM
    records = json.loads((data / "reid_raw.json").read_text())
    assert len({(record["id"], record["split"]) for record in records}) == 12


def test_the_published_recipe_runs(data: Path, tmp_path: Path) -> None:
    """Its config takes a step at 224 pixels and full width, on the drawn world in the published layout."""
    config = read_config(CONFIGS / "pedestrians_published.toml", PedestriansConfig)
    config = replace(config, optimiser=replace(config.optimiser, batch=4, epochs=1))
    task = PedestriansTask(config, load_pedestrians(data), tmp_path)

    fit(task, config.optimiser, tmp_path, config=table_of(config), seed=1, max_steps=1)

    weights = torch.load(tmp_path / CHECKPOINT, weights_only=True)["weights"]
    assert weights["conv_images.weight"].shape == (512, 1024, 1, 1)
    assert weights["bilstm.bilstm.1.weight_hh_l0"].shape == (2048, 512)
