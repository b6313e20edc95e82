"""Owns what a detector's run is made of, as its file in `configs/` says it."""

from dataclasses import dataclass
from typing import Literal

from encoders.bundle import Preprocessing
from training.models.anchored import Anchor
from training.optimiser import OptimiserConfig


@dataclass(frozen=True, slots=True)
class WorldConfig:
    """How many images `draw` makes: of the training split drawn scenes and composed ones, of the others scenes."""

    drawn: int
    composed: int
    validation: int
    gallery: int
    queries: int


@dataclass(frozen=True, slots=True)
class DataConfig:
    """The dataset and how the network sees it.

    `layout` is VOC's or COCO's; the others are names of splits. `labels` are the classes in the order of their ids,
    and for COCO all of the file's categories. Objects of `queries` are searched for in `gallery`.
    """

    layout: Literal["voc", "coco"]
    labels: tuple[str, ...]
    train: str
    validation: str
    gallery: str
    queries: str
    size_px: int
    resize: Literal["squash", "letterbox"] = "squash"

    @property
    def preprocessing(self) -> Preprocessing:
        """From an image to the network's input, in training as when served."""
        return Preprocessing(size=(self.size_px, self.size_px), resize=self.resize)


@dataclass(frozen=True, slots=True)
class NetworkConfig:
    """Either a network of Darknet's or the compact one.

    `cfg` is a file of the YOLOv3 family, whose classes and input size are changed to the dataset's; of weights to begin
    with only the layers below `cutoff` are taken, where it is not 0. The compact network has channels of the stem and
    the four stages, of the neck, and the grids' anchors, fine to coarse, in normalized coordinates of the image.
    """

    cfg: str = ""
    cutoff: int = 0
    widths: tuple[int, ...] = ()
    neck: int = 0
    anchors: tuple[tuple[Anchor, ...], ...] = ()

    def __post_init__(self) -> None:
        if bool(self.cfg) == bool(self.widths and self.neck and self.anchors):
            raise ValueError("[network] needs either a cfg, or widths, neck and anchors")


@dataclass(frozen=True, slots=True)
class ObjectsConfig:
    """A run; `trained_on` and `attribution` name its data in the bundle, and whom to credit for it."""

    seed: int
    trained_on: str
    world: WorldConfig
    data: DataConfig
    network: NetworkConfig
    optimiser: OptimiserConfig
    attribution: str = ""
