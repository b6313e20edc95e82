from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from encoders.bundle import Bundle
from encoders.session import EmbeddingSession
from tests.support.realdata import write_small_realdata
from training.config import read_config
from training.general.colour import ColourEmbedding
from training.general.export import export
from training.general.network import EmbeddingNetwork
from training.general.train import GeneralConfig, leave_one_out, prepare, train
from training.general.views import Views

CONFIG = Path(__file__).parents[3] / "training" / "configs" / "general.toml"


def small_config() -> GeneralConfig:
    config = read_config(CONFIG, GeneralConfig)
    return replace(
        config,
        data=replace(config.data, drawn_crops=4, views=2, view_px=48, train_px=40),
        network=replace(config.network, widths=(4, 8), blocks=(1,), content_dimension=8, colour_dimension=4),
        optimiser=replace(config.optimiser, batch=4, epochs=2),
    )


def test_a_run_ends_in_a_bundle(tmp_path: Path) -> None:
    """From photos to a bundle that serves: prepare, a few steps, the gate, and unit embeddings that agree with torch."""
    realdata, run, config = write_small_realdata(tmp_path / "realdata"), tmp_path / "run", small_config()

    prepare(config, realdata, run, threads=1)
    views = Views.open(run / "views")
    assert views.pixels.shape == (20, 2, 48, 48, 3)
    train(config, realdata, run, max_steps=3)
    bundle = export(run, realdata, tmp_path / "general", fewest_inputs=8)

    assert Bundle.load(tmp_path / "general") == bundle
    picture = np.array(views.pixels[0, 0])
    (served,) = EmbeddingSession(bundle).run([picture]).answers
    assert isinstance(served, np.ndarray)
    assert np.linalg.norm(served) == pytest.approx(1, abs=1e-5)
    checkpoint = torch.load(run / "checkpoint.pt", weights_only=True)
    network = EmbeddingNetwork(**checkpoint["config"]["network"])
    network.load_state_dict(checkpoint["weights"])
    with torch.inference_mode():
        trained = network.eval()(torch.from_numpy(picture)[None])[0].numpy()
    assert served @ trained == pytest.approx(1, abs=1e-4)


def test_a_second_stage_starts_from_the_first(tmp_path: Path) -> None:
    """A run that starts from a checkpoint and changes nothing has its weights, and counts its epochs too."""
    realdata, run, config = write_small_realdata(tmp_path / "realdata"), tmp_path / "run", small_config()
    prepare(config, realdata, run, threads=1)
    train(config, realdata, run, max_steps=1)
    first = torch.load(run / "checkpoint.pt", weights_only=True)["weights"]
    (run / "checkpoint.pt").rename(run / "start.pt")

    still = replace(config, optimiser=replace(config.optimiser, learning_rate=1e-12, average_decay=1.0))
    train(still, realdata, run, start=run / "start.pt", max_steps=1)

    second = torch.load(run / "checkpoint.pt", weights_only=True)
    assert torch.allclose(first["content.stem.0.weight"], second["weights"]["content.stem.0.weight"])
    assert second["epoch"] == 2


def test_colours_count_wherever_they_are() -> None:
    """A colour embedding is of unit length, and depends on how much of each colour there is, not on where."""
    rng = np.random.default_rng(0)
    colour = ColourEmbedding(4)
    colour.fit(rng.integers(0, 256, (60, 16, 16, 3), dtype=np.uint8))
    picture = torch.from_numpy(rng.integers(0, 256, (1, 3, 16, 16))).float()
    # Whole 4 x 4 tiles change places, so the same pixels are counted.
    moved = picture.roll((4, 8), (2, 3))

    assert colour(picture).norm(dim=1).item() == pytest.approx(1, abs=1e-5)
    assert torch.allclose(colour.roots(picture).square().sum(dim=1), torch.ones(1), atol=1e-5)
    assert torch.allclose(colour(picture), colour(moved), atol=1e-4)
    assert not torch.allclose(colour(picture), colour(255 - picture), atol=1e-3)


def test_leave_one_out_never_finds_itself() -> None:
    """Each picture looks for the others of its label; one alone with its label is no query."""
    embeddings = np.asarray([[1, 0], [0.9, 0.4359], [0, 1]], np.float32)
    figures = leave_one_out(embeddings, ["a", "a", "b"])
    assert (figures.recall(1), figures.unanswerable) == (1.0, 1)


def test_a_wrong_key_is_named(tmp_path: Path) -> None:
    """A config with a key that nobody reads is refused, with the file and the key."""
    path = tmp_path / "general.toml"
    path.write_text(CONFIG.read_text(encoding="utf-8").replace("label_smoothing", "label_smoothness"), encoding="utf-8")
    with pytest.raises(ValueError, match=r"general\.toml: LossConfig .*label_smoothness"):
        read_config(path, GeneralConfig)
