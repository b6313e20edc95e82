"""Owns the config of a pedestrian search run, as its file in `training/configs/` says it."""

from dataclasses import dataclass, field

from encoders.bundle import Preprocessing
from training.models.dcmpl import DcmplConfig
from training.optimiser import OptimiserConfig


@dataclass(frozen=True, slots=True)
class WorldConfig:
    """How many people `draw` draws for each split, and how many cameras see each of them."""

    train: int
    val: int
    test: int
    images: int = field(metadata={"key": "pictures"})
    seed: int


@dataclass(frozen=True, slots=True)
class DataConfig:
    """`size_px` is (width, height) of the network's input; rarer words than `min_count` are unknown ones."""

    size_px: tuple[int, int]
    min_count: int

    @property
    def preprocessing(self) -> Preprocessing:
        """The published squash, the same in training as when served."""
        return Preprocessing(size=self.size_px)


@dataclass(frozen=True, slots=True)
class AugmentationConfig:
    """Half of the images are always mirrored; they move by up to `shift_px`, and `light` is a standard deviation."""

    shift_px: int = 0
    light: float = 0.0


@dataclass(frozen=True, slots=True)
class LossConfig:
    """The weights of CMPM and of CMPC; published: 1 and 1."""

    matching: float = 1.0
    classification: float = 1.0


@dataclass(frozen=True, slots=True)
class PedestriansConfig:
    """A run; `trained_on` names its data in the bundles. The training captions decide `vocabulary_size`."""

    seed: int
    trained_on: str
    world: WorldConfig
    data: DataConfig
    network: DcmplConfig
    augmentation: AugmentationConfig
    loss: LossConfig
    optimiser: OptimiserConfig
