"""Makes two bundles of one checkpoint that passes the gate: pictures, photos and sketches alike, and sentences."""

import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from encoders.bundle import Bundle
from training.config import build
from training.datasets.coco_karpathy import CaptionedPhotos
from training.gate import FEWEST_INPUTS, Candidate, Outputs, gate
from training.loop import CHECKPOINT
from training.models.taskformer import TaskFormer
from training.paired_bundles import PictureTower, TextTower, write_paired_bundles
from training.text_sketch.config import TextSketchConfig
from training.text_sketch.modes import Embedded, Embeddings, figures_of
from training.text_sketch.pairs import Pairs
from training.text_sketch.towers import embedded, photo_encoder, text_encoder, text_inputs
from training.text_sketch.words import Words

PICTURE, TEXT = "scene", "scene-text"


@dataclass(frozen=True, slots=True)
class Trained:
    """A checkpoint's averaged network, on the CPU, with what it was made of."""

    network: TaskFormer
    config: TextSketchConfig
    words: Words
    epochs: int

    @classmethod
    def of(cls, run: Path) -> "Trained":
        """Read the checkpoint and the tokenizer of a run."""
        checkpoint = torch.load(run / CHECKPOINT, weights_only=True, map_location="cpu")
        config = build(TextSketchConfig, checkpoint["config"])
        words = Words.read(run, config.tokens)
        network = TaskFormer(replace(config.network, vocabulary_size=words.vocabulary_size))
        network.load_state_dict(checkpoint["weights"])
        return cls(network.eval(), config, words, checkpoint["epoch"])


def export(
    run: Path, photos: CaptionedPhotos, out: Path, *, fewest_inputs: int = FEWEST_INPUTS
) -> tuple[Bundle, Bundle]:
    """Gate both towers on the test split and write `out`/scene and `out`/scene-text, which share a space.

    Raises ValueError where sketches have a tower of their own: one bundle serves both.
    """
    trained = Trained.of(run)
    config = trained.config
    if not config.network.shares_sketch_tower:
        raise ValueError("export writes one bundle for photos and sketches; train with shares_sketch_tower = true.")
    with tempfile.TemporaryDirectory() as scratch:
        pairs = Pairs.read(photos.of("test"), trained.words, config.preprocessing, Path(scratch))
        reference = embedded(trained.network, pairs, trained.words)
        picture = gate(
            Candidate(
                network=photo_encoder(trained.network),
                inputs={"image": np.concatenate([pairs.photos, pairs.sketches])},
                outputs=("embedding",),
                quality=_quality(lambda rows: _with_pictures(reference, rows)),
            ),
            out / PICTURE,
            fewest_inputs=fewest_inputs,
        )
        text = gate(
            Candidate(
                network=text_encoder(trained.network),
                inputs=text_inputs(pairs),
                outputs=("embedding",),
                quality=_quality(lambda rows: replace(reference, texts=rows)),
            ),
            out / TEXT,
            fewest_inputs=fewest_inputs,
        )

    return write_paired_bundles(
        out,
        PictureTower(PICTURE, picture, ("image", "sketch"), config.preprocessing),
        TextTower(TEXT, text, trained.words.write(out / TEXT), config.network.max_tokens, trained.words.cleaning),
        dimension=config.network.dimension,
        trained_on=f"{config.trained_on}; {trained.epochs} epochs, seed {config.seed}",
    )


def _with_pictures(reference: Embeddings, rows: Embedded) -> Embeddings:
    photos, sketches = np.split(rows, 2)
    return replace(reference, photos=photos, sketches=sketches)


def _quality(embeddings: Callable[[Embedded], Embeddings]) -> Callable[[Outputs], dict[str, float]]:
    """The figures that no precision may spoil, the other tower being torch's."""

    def quality(outputs: Outputs) -> dict[str, float]:
        figures = figures_of(embeddings(outputs[0]))
        return {name: figures[name] for name in ("text_r1", "sketch_r1", "both_r1", "both_mrr")}

    return quality
