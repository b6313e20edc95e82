from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from encoders.bundle import Bundle
from encoders.serving.session import EmbeddingSession
from tests.support.realdata import write_small_realdata
from training.config import read_config, table_of
from training.general.config import GeneralConfig, StageConfig
from training.general.export import export
from training.general.network import EmbeddingNetwork
from training.general.train import joint_task, prepare, train_content
from training.general.views import Views
from training.loop import fit

CONFIG = Path(__file__).parents[3] / "training" / "configs" / "general.toml"
CPU = torch.device("cpu")


def small_stage(stage: StageConfig) -> StageConfig:
    return replace(stage, train_px=40, optimiser=replace(stage.optimiser, batch=4, epochs=2))


def small_config() -> GeneralConfig:
    config = read_config(CONFIG, GeneralConfig)
    return replace(
        config,
        data=replace(config.data, drawn_crops=4, views=2, view_px=48),
        network=replace(config.network, widths=(4, 8), blocks=(1,), content_dimension=8, colour_dimension=4),
        content_stage=small_stage(config.content_stage),
        joint_stage=small_stage(config.joint_stage),
    )


def train_joint(config: GeneralConfig, realdata: Path, run: Path, *, max_steps: int) -> None:
    torch.manual_seed(config.seed)
    task = joint_task(config, realdata, run)
    fit(task, config.optimiser, run, config=table_of(config), seed=config.seed, max_steps=max_steps)


def test_a_run_ends_in_a_bundle(tmp_path: Path) -> None:
    """From photos to a bundle that serves: both stages, the gate, and unit embeddings that agree with torch."""
    realdata, run, config = write_small_realdata(tmp_path / "realdata"), tmp_path / "run", small_config()

    prepare(config, realdata, run)
    views = Views.open(run / "views")
    assert views.pixels.shape == (20, 2, 48, 48, 3)
    train_content(config, realdata, run, CPU, max_steps=3)
    train_joint(config, realdata, run, max_steps=3)
    bundle = export(run, realdata, tmp_path, fewest_inputs=8)

    assert Bundle.load(tmp_path / "general-2") == bundle
    assert "4 epochs in all" in bundle.trained_on
    image = np.array(views.pixels[0, 0])
    (served,) = EmbeddingSession(bundle).run([image]).results
    assert isinstance(served, np.ndarray)
    assert np.linalg.norm(served) == pytest.approx(1, abs=1e-5)
    checkpoint = torch.load(run / "checkpoint.pt", weights_only=True)
    network = EmbeddingNetwork(**checkpoint["config"]["network"])
    network.load_state_dict(checkpoint["weights"])
    with torch.inference_mode():
        trained = network.eval()(torch.from_numpy(image)[None])[0].numpy()
    assert served @ trained == pytest.approx(1, abs=1e-4)


def test_the_second_stage_starts_from_the_first(tmp_path: Path) -> None:
    """A second stage that changes nothing has the content of the first."""
    realdata, run, config = write_small_realdata(tmp_path / "realdata"), tmp_path / "run", small_config()
    joint = replace(config.joint_stage, optimiser=replace(config.joint_stage.optimiser, learning_rate=1e-12))
    still = replace(config, joint_stage=joint)
    prepare(still, realdata, run)
    train_content(still, realdata, run, CPU, max_steps=1)
    train_joint(still, realdata, run, max_steps=1)

    first = torch.load(run / "content_stage" / "checkpoint.pt", weights_only=True)["weights"]
    second = torch.load(run / "checkpoint.pt", weights_only=True)["weights"]
    assert torch.allclose(first["stem.0.weight"], second["content.stem.0.weight"])


def test_a_wrong_key_is_named(tmp_path: Path) -> None:
    """A config with a key that nobody reads is refused, with the file and the key."""
    path = tmp_path / "general.toml"
    path.write_text(CONFIG.read_text(encoding="utf-8").replace("label_smoothing", "label_smoothness"), encoding="utf-8")
    with pytest.raises(ValueError, match=r"general\.toml: LossConfig .*label_smoothness"):
        read_config(path, GeneralConfig)
