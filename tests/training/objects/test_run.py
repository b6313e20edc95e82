"""A run from drawn images to a bundle, in both layouts and with both sorts of network."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from encoders.bundle import Bundle
from encoders.importers.darknet.cfg import read_cfg
from encoders.serving.session import DetectorSession, RawDetections
from tests.support.realdata import write_small_realdata
from training.checkpoints.darknet import load_darknet, save_darknet
from training.checkpoints.tensors import CheckpointError
from training.config import table_of
from training.loop import CHECKPOINT, fit
from training.models.yolo import YoloNetwork
from training.objects.config import NetworkConfig, ObjectsConfig
from training.objects.detector import CFG, build_detector
from training.objects.draw import draw_dataset
from training.objects.evaluate import ObjectsEvaluation
from training.objects.export import export, trained_detector
from training.objects.images import load_split
from training.objects.start import load_start
from training.objects.task import ObjectsTask
from world.kinds import LABELS

SmallConfig = Callable[[str], ObjectsConfig]


def trained(config: ObjectsConfig, data: Path, run: Path) -> ObjectsTask:
    """A run of one epoch."""
    torch.manual_seed(0)
    train, validation = (load_split(config.data, data, name) for name in (config.data.train, config.data.validation))
    task = ObjectsTask(config, build_detector(config, run), train=train, validation=validation, run=run)
    fit(task, config.optimiser, run, config=table_of(config), seed=config.seed)
    return task


@pytest.mark.parametrize("name", ["objects", "objects_ci", "objects_tiny"])
def test_a_run_ends_in_a_bundle(small_config: SmallConfig, name: str, tmp_path: Path) -> None:
    """Drawn, read by the published layout's loader, trained, gated, and served with boxes and scores for every label."""
    config, run = small_config(name), tmp_path / "run"
    realdata = write_small_realdata(tmp_path / "realdata")
    draw_dataset(config, tmp_path / "data", realdata)
    task = trained(config, tmp_path / "data", run)
    assert len(task.images.pixels) == config.world.drawn + config.world.composed

    held_out = load_split(config.data, tmp_path / "data", config.data.queries).images
    photos = sorted((realdata / "grocery" / "val").glob("*.jpg"))
    bundle = export(run, held_out, photos, tmp_path / "models", fewest_inputs=8)

    assert Bundle.load(bundle.folder) == bundle
    assert bundle.labels == LABELS
    assert bundle.image_preprocessing == config.data.preprocessing
    assert set(bundle.gate["fp32"]) >= {"held_out_map50", "photos_without_false_alarm"}
    (raw,) = DetectorSession(bundle).run([np.array(task.images.pixels[0])]).results
    assert isinstance(raw, RawDetections)
    assert raw.scores.shape == (len(raw.boxes), len(LABELS))
    assert ((raw.scores >= 0) & (raw.scores <= 1)).all()

    # Nothing that it finds is worth showing yet, so every photo is searched as a whole.
    figures = ObjectsEvaluation.read(config.data, tmp_path / "data").offline(bundle.folder.parent)
    assert figures["coverage"] == 0
    assert figures.get("retrieval_r10", 1.0) == 1


def test_darknet_reads_what_was_trained(small_config: SmallConfig, tmp_path: Path) -> None:
    """The run's own .cfg and the weights written beside it make the same network again, and a run can begin with them."""
    config, run = small_config("objects_tiny"), tmp_path / "run"
    draw_dataset(config, tmp_path / "data", tmp_path)
    trained(config, tmp_path / "data", run)
    network, _ = trained_detector(run)
    assert isinstance(network, YoloNetwork)
    save_darknet(network, tmp_path / "network.weights")

    again = YoloNetwork(read_cfg(run / CFG)).eval()
    load_darknet(again, tmp_path / "network.weights")
    images = torch.randint(0, 256, (2, 64, 64, 3), dtype=torch.uint8)
    with torch.inference_mode():
        for mine, theirs in zip(network(images), again(images), strict=True):
            torch.testing.assert_close(mine, theirs)

    begun = build_detector(config, run)
    load_start(begun, tmp_path / "network.weights", cutoff=config.network.cutoff)
    from_checkpoint = build_detector(config, run)
    load_start(from_checkpoint, run / CHECKPOINT, cutoff=0)
    for one, other in zip(begun.parameters(), from_checkpoint.parameters(), strict=True):
        assert torch.equal(one, other)


def test_compact_network_refuses_darknet_weights(small_config: SmallConfig, tmp_path: Path) -> None:
    """It has no .cfg that would say where they belong."""
    with pytest.raises(CheckpointError, match="has no cfg"):
        load_start(build_detector(small_config("objects"), tmp_path), tmp_path / "any.weights", cutoff=0)


def test_a_config_names_one_network() -> None:
    """Neither none nor two."""
    with pytest.raises(ValueError, match="either a cfg"):
        NetworkConfig()
    with pytest.raises(ValueError, match="either a cfg"):
        NetworkConfig(cfg="a.cfg", widths=(4,), neck=4, anchors=(((0.1, 0.1),),))


def test_other_categories_are_refused(small_config: SmallConfig, tmp_path: Path) -> None:
    """COCO's file says which classes it has; a config of others is not silently renumbered."""
    config = small_config("objects_ci")
    draw_dataset(config, tmp_path, tmp_path)
    with pytest.raises(ValueError, match="write them into"):
        load_split(replace(config.data, labels=LABELS[::-1]), tmp_path, config.data.train)
