"""Makes two bundles of one checkpoint that passes the gate: images, photos and sketches alike, and sentences."""

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
from torch import nn

from encoders.bundle import Bundle
from training.bundles import ImageTower, TextTower, finished, regated, write_paired_bundles
from training.datasets.coco_karpathy import CaptionedPhoto, CaptionedPhotos
from training.gate import FEWEST_INPUTS, Candidate, gate
from training.models.served import Outputs
from training.models.taskformer import TaskFormer
from training.onnx_graph import onnx_outputs
from training.text_sketch.config import TextSketchConfig
from training.text_sketch.modes import Embedded, Embeddings, figures_of
from training.text_sketch.pairs import FILE, Pairs, Words
from training.text_sketch.task import embedded, embedded_by, photo_encoder, text_encoder, text_inputs

IMAGE, TEXT = "scene", "scene-text"


def export(
    run: Path, photos: CaptionedPhotos, out: Path, *, fewest_inputs: int = FEWEST_INPUTS
) -> tuple[Bundle, Bundle]:
    """Gate both towers on the test split and write `out`/scene and `out`/scene-text, which share a space.

    Raises ValueError where sketches have a tower of their own: one bundle serves both.
    """
    trained = finished(run, TextSketchConfig)
    config = trained.config
    if not config.network.is_sketch_tower_shared:
        raise ValueError("export writes one bundle for photos and sketches; train with shares_sketch_tower = true.")
    words = Words.read(run, config.tokens)
    network = TaskFormer(replace(config.network, vocabulary_size=words.vocabulary_size)).eval()
    network.load_state_dict(trained.weights)
    with tempfile.TemporaryDirectory() as scratch:
        pairs = Pairs.read(photos.of("test"), words, config.preprocessing, Path(scratch))
        reference = embedded(network, pairs, words)
        of_images = _image_candidate(photo_encoder(network), pairs, reference)
        of_texts = _text_candidate(text_encoder(network), pairs, reference)
        image = gate(of_images, out / IMAGE, fewest_inputs=fewest_inputs)
        text = gate(of_texts, out / TEXT, fewest_inputs=fewest_inputs)

    return write_paired_bundles(
        ImageTower(out / IMAGE, image, ("image", "sketch"), config.preprocessing),
        TextTower(out / TEXT, text, words.write(out / TEXT), config.network.max_tokens, words.cleaning),
        dimension=config.network.dimension,
        trained_on=trained.trained_on,
    )


def regate(out: Path, photos: Sequence[CaptionedPhoto], *, fewest_inputs: int = FEWEST_INPUTS) -> tuple[Bundle, Bundle]:
    """Write the smaller precisions of both bundles anew, from their fp32 files."""
    image, text = Bundle.load(out / IMAGE), Bundle.load(out / TEXT)
    words = Words((text.folder / FILE).read_text(encoding="utf-8"), text.text_cleaning)
    with tempfile.TemporaryDirectory() as scratch:
        pairs = Pairs.read(photos, words, image.image_preprocessing, Path(scratch))
        of_images, of_texts = image.path_of("fp32"), text.path_of("fp32")
        tower, text_tower = (partial(onnx_outputs, path, outputs=("embedding",)) for path in (of_images, of_texts))
        reference = embedded_by(tower, tower, text_tower, pairs, words)
        return (
            regated(image, _image_candidate(of_images, pairs, reference), fewest_inputs=fewest_inputs),
            regated(text, _text_candidate(of_texts, pairs, reference), fewest_inputs=fewest_inputs),
        )


def _image_candidate(network: nn.Module | Path, pairs: Pairs, reference: Embeddings) -> Candidate:
    return Candidate(
        network=network,
        inputs={"image": np.concatenate([pairs.photos, pairs.sketches])},
        outputs=("embedding",),
        quality=_quality(lambda rows: _with_images(reference, rows)),
    )


def _text_candidate(network: nn.Module | Path, pairs: Pairs, reference: Embeddings) -> Candidate:
    return Candidate(
        network=network,
        inputs=text_inputs(pairs),
        outputs=("embedding",),
        quality=_quality(lambda rows: replace(reference, texts=rows)),
    )


def _with_images(reference: Embeddings, rows: Embedded) -> Embeddings:
    photos, sketches = np.split(rows, 2)
    return replace(reference, photos=photos, sketches=sketches)


def _quality(embeddings: Callable[[Embedded], Embeddings]) -> Callable[[Outputs], dict[str, float]]:
    """The figures that no precision may spoil, the other tower being the reference's."""

    def quality(outputs: Outputs) -> dict[str, float]:
        figures = figures_of(embeddings(outputs[0]))
        return {name: figures[name] for name in ("text_r1", "sketch_r1", "both_r1", "both_mrr")}

    return quality
