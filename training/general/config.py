"""A run of the general embedding, as its file in `training/configs/` says it."""

from dataclasses import dataclass

from training.optimiser import OptimiserConfig


@dataclass(frozen=True, slots=True)
class DataConfig:
    """The views: `views` of each image, `view_px` a side as is served, one of them whole.

    `drawn_crops` objects cut out of drawn scenes stand beside the photos.
    """

    drawn_crops: int
    views: int
    view_px: int


@dataclass(frozen=True, slots=True)
class NetworkConfig:
    """What `EmbeddingNetwork` is built from."""

    widths: tuple[int, ...]
    blocks: tuple[int, ...]
    content_dimension: int
    colour_dimension: int
    colour_share: float


@dataclass(frozen=True, slots=True)
class LossConfig:
    """The weights of the objective's parts, and the sharpness of its classes."""

    fine: float
    coarse: float
    teacher: float
    likeness: float
    scale: float
    label_smoothing: float


@dataclass(frozen=True, slots=True)
class StageConfig:
    """What a stage sees of a view: a window of `train_px`, the view resized by a factor of `zoom`; and how it steps."""

    train_px: int
    zoom: tuple[float, float]
    optimiser: OptimiserConfig


@dataclass(frozen=True, slots=True)
class GeneralConfig:
    """Both stages of a run: content alone on photos alone, then content and colours on photos and drawn objects."""

    seed: int
    data: DataConfig
    network: NetworkConfig
    loss: LossConfig
    content_stage: StageConfig
    joint_stage: StageConfig

    @property
    def optimiser(self) -> OptimiserConfig:
        """That of the second stage, whose weights are served."""
        return self.joint_stage.optimiser
