"""From drawn scenes to bundles that answer, in seconds; the figures themselves are those of the shipped bundles."""

import json
import shutil
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
import torch

from encoders.bundle import Bundle, Preprocessing
from training.config import read_config, table_of
from training.datasets.coco_karpathy import LIST, CaptionedPhotos, load_coco_karpathy
from training.loop import fit
from training.text_sketch import evaluate as evaluation
from training.text_sketch.config import TextSketchConfig, WorldConfig
from training.text_sketch.evaluate import TextSketchEvaluation
from training.text_sketch.export import export, regate
from training.text_sketch.modes import Embeddings
from training.text_sketch.pairs import Pairs, Words
from training.text_sketch.task import TextSketchTask
from world.coco_karpathy import write_coco_karpathy

CONFIGS = Path(__file__).parents[3] / "training/configs"
SPLITS = ("train", "val", "test")
WORLD = WorldConfig(train=10, val=4, test=6)


def tiny() -> TextSketchConfig:
    config = read_config(CONFIGS / "text_sketch_ci.toml", TextSketchConfig)
    return replace(
        config,
        world=WORLD,
        preprocessing=Preprocessing(size=(32, 32)),
        network=replace(
            config.network, dimension=32, image_px=32, layout_widths=(8, 8, 16, 16), text_width=64, text_layers=1
        ),
        optimiser=replace(config.optimiser, epochs=2, batch=5),
    )


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("coco")
    write_coco_karpathy(folder, asdict(WORLD))
    return folder


@pytest.fixture(scope="module")
def photos(data: Path) -> CaptionedPhotos:
    return load_coco_karpathy(data, sketch_splits=SPLITS)


@pytest.fixture(scope="module")
def run(photos: CaptionedPhotos, tmp_path_factory: pytest.TempPathFactory) -> Path:
    run, config = tmp_path_factory.mktemp("run"), tiny()
    torch.manual_seed(0)
    fit(TextSketchTask(config, photos, run), config.optimiser, run, config=table_of(config), seed=config.seed)
    return run


def test_two_bundles_of_one_space(run: Path, photos: CaptionedPhotos, tmp_path: Path) -> None:
    """The chain ends in bundles that load, share a space, and answer every mode through the code that serves them."""
    exported = export(run, photos, tmp_path, fewest_inputs=6)
    assert regate(tmp_path, photos.of("test"), fewest_inputs=6) == exported, "the checkpoint is not needed"

    image, text = Bundle.load(tmp_path / "scene"), Bundle.load(tmp_path / "scene-text")
    assert image.space == text.space
    assert image.modalities == ("image", "sketch")
    assert image.gate["fp32"]["least_cosine"] > 0.999
    figures = TextSketchEvaluation(photos.of("test")).offline(tmp_path)
    assert {"text_r1", "sketch_r1", "both_r1", "both_r10", "both_mrr", "sketch_placeholder_r1"} <= figures.keys()
    assert figures["both_r10"] == 1.0  # of six photos


def test_every_caption_asks(
    run: Path, photos: CaptionedPhotos, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A photo with several captions is asked for by each of them, as published figures count."""
    export(run, photos, tmp_path, fewest_inputs=6)
    listed = json.loads((data / LIST).read_text())
    for row in listed["images"]:
        row["sentences"].append({"raw": "something else"})
    shutil.copytree(data, tmp_path / "data")
    (tmp_path / "data" / LIST).write_text(json.dumps(listed))
    measured: list[Embeddings] = []
    monkeypatch.setattr(evaluation, "figures_of", measured.append)

    asking = load_coco_karpathy(tmp_path / "data").of("test")
    TextSketchEvaluation(asking).offline(tmp_path)

    captions = [photo.captions for photo in asking]
    (found,) = measured
    assert len(found.texts) == sum(map(len, captions))
    assert np.bincount(found.photo_of_text).tolist() == [len(own) for own in captions]


def test_two_sketch_towers_are_not_one_bundle(run: Path, photos: CaptionedPhotos, tmp_path: Path) -> None:
    """A network with a tower for sketches is refused before anything is written."""
    checkpoint = torch.load(run / "checkpoint.pt", weights_only=True)
    checkpoint["config"]["network"]["shares_sketch_tower"] = False
    torch.save(checkpoint, tmp_path / "checkpoint.pt")
    (tmp_path / "tokenizer.json").write_bytes((run / "tokenizer.json").read_bytes())

    with pytest.raises(ValueError, match="shares_sketch_tower = true"):
        export(tmp_path, photos, tmp_path / "models")
    assert not (tmp_path / "models").exists()


def test_photos_without_a_sketch_are_left_out(photos: CaptionedPhotos, tmp_path: Path) -> None:
    """What an incomplete set keeps but nobody drew is not a pair."""
    first, *others = photos.of("test")
    pairs = Pairs.read(
        [replace(first, sketch=None), *others], Words.of("words", [], max_tokens=8), Preprocessing((8, 8)), tmp_path
    )
    assert len(pairs) == len(pairs.sketches) == len(pairs.tokens) == len(pairs.labels) == len(others)


def test_a_batch_is_pairs(photos: CaptionedPhotos, tmp_path: Path) -> None:
    """Each photo is there once an epoch, with its own categories and one of its own captions."""
    config = tiny()
    task = TextSketchTask(config, photos, tmp_path)
    first, second = task.batches(np.random.default_rng(1))
    assert first.photos.shape == first.sketches.shape == (5, 32, 32, 3)
    labels = torch.cat([first.labels, second.labels])
    expected = sorted(photo.category_ids for photo in photos.of("train"))
    assert sorted(tuple((row.nonzero()[:, 0] + 1).tolist()) for row in labels) == expected
