"""Owns the config of a text and sketch run, as its file in `training/configs/` says it."""

from dataclasses import dataclass, field
from typing import Literal

from encoders.bundle import Preprocessing
from training.losses.taskformer import TaskFormerWeights
from training.models.taskformer import TaskFormerConfig
from training.optimiser import OptimiserConfig
from training.sketch_augmentation import Looseness


@dataclass(frozen=True, slots=True)
class WorldConfig:
    """How many scenes `draw` draws for each split."""

    train: int
    val: int
    test: int


@dataclass(frozen=True, slots=True)
class AugmentationConfig:
    """How photos and sketches are varied, apart from each other, and which share of queries lacks one of its halves."""

    photo: Looseness
    sketch: Looseness
    least_strokes: float = 0.6
    query_dropout: float = 0.1
    mirrors: bool = True


@dataclass(frozen=True, slots=True)
class TextSketchConfig:
    """A run; `trained_on` names its data in the bundles.

    `tokens` is `words`, a vocabulary counted on the training captions, which then decides `vocabulary_size`, or `clip`.
    """

    seed: int
    trained_on: str
    tokens: Literal["words", "clip"]
    world: WorldConfig
    preprocessing: Preprocessing
    network: TaskFormerConfig
    augmentation: AugmentationConfig
    optimiser: OptimiserConfig
    loss: TaskFormerWeights = field(default_factory=TaskFormerWeights)
