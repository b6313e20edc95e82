"""Owns the config of a car search run, as its file in `training/configs/` says it."""

from dataclasses import dataclass, field
from typing import Literal

from encoders.bundle import Preprocessing
from training.models.compcars import CompCarsConfig
from training.optimiser import OptimiserConfig
from world.car_dataset import Photos

# The models of the test, which no run may train on; the published numbers end at 2004.
FIRST_TEST_MODEL = 1901


@dataclass(frozen=True, slots=True)
class WorldConfig:
    """How many models `draw` draws for training and for the test, and how many photos of each; makes are of one split."""

    seed: int
    train_models: int
    test_models: int
    train: Photos
    test: Photos

    def __post_init__(self) -> None:
        if self.train_models >= FIRST_TEST_MODEL:
            raise ValueError(f"train_models={self.train_models} reaches the test's, which begin at {FIRST_TEST_MODEL}")

    @property
    def train_numbers(self) -> range:
        return range(1, self.train_models + 1)

    @property
    def test_numbers(self) -> range:
        return range(FIRST_TEST_MODEL, FIRST_TEST_MODEL + self.test_models)


@dataclass(frozen=True, slots=True)
class ProtocolConfig:
    """Which photos train and which are searched, by the names of the official lists; "" takes all of them.

    Of the web's photos only those with the front in view count. The first 1/`ratio` of each training model validate;
    models with fewer than `min_count` photos in the database are neither asked for nor found.
    """

    train: str = "classification/train"
    test: str = "classification/test"
    road_train: str = "train"
    road_test: str = "test"
    ratio: int = 7
    min_count: int = 2


@dataclass(frozen=True, slots=True)
class InputConfig:
    """How the network sees a whole image, (width, height); CompCars fills a letterbox with the image's own edges.

    The first `small_epochs` are trained on images of `small_scale` times that size, which is faster; the epochs that
    are left turn a network that tells cars apart into one that sees them larger.
    """

    size_px: tuple[int, int]
    small_epochs: int = 0
    small_scale: float = 0.7071
    resize: Literal["squash", "letterbox"] = "squash"
    is_blurred: bool = False

    @property
    def preprocessing(self) -> Preprocessing:
        """The same in training as when served."""
        return Preprocessing(size=self.size_px, resize=self.resize, fill="blur" if self.is_blurred else (128, 128, 128))


@dataclass(frozen=True, slots=True)
class AugmentationConfig:
    """The defaults are the published training's: none.

    Each image is turned by up to `turn_degrees`, resized by up to a share `zoom` and stretched by up to a share
    `stretch`, moved by up to a share `shift`, mirrored in half of the cases where `is_mirrored`, and lit by a standard
    deviation `light`; a share `grey` of them loses its colours, a share `blurred` its sharpness.
    """

    turn_degrees: float = 0.0
    zoom: float = 0.0
    stretch: float = 0.0
    shift: float = 0.0
    is_mirrored: bool = False
    light: float = 0.0
    grey: float = 0.0
    blurred: float = 0.0


@dataclass(frozen=True, slots=True)
class LossConfig:
    """The weights of the N-pair loss, and of classification by model, make and type; published: one of the first two.

    The type of a car shows in its shape, which is easy to learn first; without this loss, training from nothing stays at
    chance for its first 500 steps and more.

    A pair is two photos of a model; `road` is the share of pairs that begin with a road camera's photo, the published
    ones do not. `negatives` other models of the batch stand beside the positive. `temperature=1` is the published loss.
    """

    n_pair: float = 1.0
    classification: float = 0.0
    make: float = 0.0
    type: float = 0.0
    negatives: int = 4
    road: float = 0.0
    temperature: float = 1.0


@dataclass(frozen=True, slots=True)
class CarsConfig:
    """A run; `trained_on` names its data in the bundle. The training models decide `network.classes`.

    `is_bfloat16` computes the network's training steps in bfloat16, which is faster where the processor knows it.
    """

    seed: int
    trained_on: str
    world: WorldConfig
    input: InputConfig
    network: CompCarsConfig
    optimiser: OptimiserConfig
    protocol: ProtocolConfig = field(default_factory=ProtocolConfig)
    augmentation: AugmentationConfig = field(default_factory=AugmentationConfig)
    loss: LossConfig = field(default_factory=LossConfig)
    is_bfloat16: bool = False
