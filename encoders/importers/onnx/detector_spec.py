"""The spec of an ONNX detector: how its images must be prepared, and what its outputs mean."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Self, get_args

from pydantic import Field

from encoders.errors import BundleError
from encoders.importers.onnx.spec import ImageSpec
from encoders.importers.onnx.spec_file import checked

Head = Literal["dense", "pair", "ranked", "listed"]
BoxFormat = Literal["xyxy", "yxyx", "xywh", "cxcywh"]
Unit = Literal["pixels", "normalized"]
Activation = Literal["none", "sigmoid", "softmax"]
NoObject = Literal["none", "first", "last"]

TensorName = Annotated[str, Field(strict=True, min_length=1, max_length=512)]
Overlap = Annotated[float, Field(strict=True, gt=0, le=1)]
FirstClass = Annotated[int, Field(strict=True, ge=0, le=1)]

_EXPECTED: Mapping[str, str] = {
    "head": f"one of {', '.join(get_args(Head))}",
    "outputs": "a list of names of tensors of the graph",
    "box": f"one of {', '.join(get_args(BoxFormat))}",
    "unit": f"one of {', '.join(get_args(Unit))}",
    "objectness": "true or false",
    "activation": f"one of {', '.join(get_args(Activation))}",
    "no_object": f"one of {', '.join(get_args(NoObject))}",
    "first_class": "0 or 1",
    "max_overlap": "a number above 0, at most 1",
    **dict.fromkeys(("image_size", "pixel_mask"), "the name of an input of the graph"),
}
_KEYS: Mapping[str, str] = {"image": "the spec of the images", "detector": "the spec of the outputs"}


@dataclass(frozen=True, slots=True, kw_only=True)
class HeadSpec:
    """What a detector computes.

    By `head`:

        dense    one tensor (N, K, 4 + C), or turned (N, 4 + C, K); with `objectness` a number between box and classes
        pair     boxes (N, K, 4) and class scores (N, K, C)
        ranked   one tensor (N, K, 6): box, score, class
        listed   boxes (N, K, 4), scores (N, K), classes (N, K) and, optionally, how many of the K count (N)

    `outputs` names them in this order. `no_object` is the place of a class that means none, which comes on top of C.
    Classes are counted from `first_class`. Boxes of one class that overlap more than `max_overlap` hide each other.
    `image_size` and `pixel_mask` name further inputs: the width and height of each image in pixels, and a mask of ones.
    """

    head: Head
    outputs: tuple[TensorName, ...] = ()
    box: BoxFormat | None = None
    unit: Unit | None = None
    objectness: Annotated[bool, Field(strict=True)] = False
    activation: Activation | None = None
    no_object: NoObject = "none"
    first_class: FirstClass = 0
    max_overlap: Overlap | None = None
    image_size: str = ""
    pixel_mask: str = ""

    def __post_init__(self) -> None:
        if self.objectness and self.head != "dense":
            raise BundleError("The spec's detector.objectness is for the head dense.")
        has_raw_scores = self.head in {"dense", "pair"}
        if not has_raw_scores and (self.no_object != "none" or self.activation == "softmax"):
            raise BundleError("The spec's detector.no_object and softmax are for the heads dense and pair.")
        counts = {"dense": (1,), "pair": (2,), "ranked": (1,), "listed": (3, 4)}[self.head]
        if self.outputs and len(self.outputs) not in counts:
            raise BundleError(
                f"The spec's detector.outputs has {len(self.outputs)} names; the head {self.head} has "
                f"{' or '.join(map(str, counts))}."
            )

    @property
    def box_format(self) -> BoxFormat:
        """The order of a box's four numbers; by default that of the best known detectors with this head."""
        defaults: Mapping[Head, BoxFormat] = {"dense": "cxcywh", "pair": "cxcywh", "ranked": "xyxy", "listed": "yxyx"}
        return self.box or defaults[self.head]

    @property
    def box_unit(self) -> Unit:
        """What boxes are measured in."""
        return self.unit or ("pixels" if self.head in {"dense", "ranked"} else "normalized")

    @property
    def score_activation(self) -> Activation:
        """What makes scores of the raw numbers."""
        return self.activation or ("sigmoid" if self.head == "pair" else "none")

    @property
    def served_overlap(self) -> float | None:
        """The bundle's `max_overlap`: heads other than dense ones have chosen among their boxes already."""
        return self.max_overlap or (None if self.head == "dense" else 1.0)


@dataclass(frozen=True, slots=True)
class DetectorSpec:
    """An image spec, of which the output and the pooling are not used, and the spec of the head."""

    image: ImageSpec
    detector: HeadSpec

    @classmethod
    def of(cls, described: Mapping[str, Any]) -> Self:
        """Check a JSON object key by key."""
        for key in described:
            if key not in _KEYS:
                raise BundleError(f"The spec's key {key!r} is unknown; a detector's keys are {', '.join(_KEYS)}.")
        if "image" not in described:
            raise BundleError(f'The spec needs "image": {_KEYS["image"]}.')
        image = ImageSpec.of(described["image"], part="image")
        if image.output or image.pooling or image.modality != "image":
            raise BundleError(
                "The spec's image.output, pooling and modality are not for detectors: name detector.outputs."
            )
        return cls(image, checked(HeadSpec, described["detector"], _EXPECTED, part="detector"))


def image_or_detector(described: object) -> ImageSpec | DetectorSpec:
    """Check the spec of one ONNX file: a detector's has the key `detector`."""
    if isinstance(described, dict) and "detector" in described:
        return DetectorSpec.of(described)
    if isinstance(described, dict) and "text" in described:
        raise BundleError("This is the spec of an image and a text model: give both with --pair IMAGE TEXT.")
    return ImageSpec.of(described)
