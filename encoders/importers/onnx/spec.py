"""The spec of an ONNX image model: how its images must be prepared and which output is the embedding."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, Self, get_args

from pydantic import BeforeValidator, Field

from encoders.bundle import Interpolation, Preprocessing, Resize
from encoders.errors import BundleError
from encoders.importers.onnx.spec_file import checked, read_spec

Color = Literal["RGB", "BGR", "GRAY"]
Dtype = Literal["float32", "float16", "uint8"]
Layout = Literal["NCHW", "NHWC"]
Pooling = Literal["cls", "mean", "max"]
ImageModality = Literal["image", "sketch"]

Side = Annotated[int, Field(strict=True, ge=1, le=4096)]
Level = Annotated[int, Field(strict=True, ge=0, le=255)]
Number = Annotated[float, Field(strict=True, gt=-1e30, lt=1e30)]
Numbers = Annotated[
    tuple[Number, ...], BeforeValidator(lambda value: value if isinstance(value, list | tuple) else [value])
]
SkippedTokens = Annotated[int, Field(strict=True, ge=0, le=64)]
SpecFill = Annotated[
    tuple[Level, Level, Level] | Literal["blur"],
    BeforeValidator(lambda value: [value] * 3 if isinstance(value, int) else value),
]

# What a message says that each key must be.
_EXPECTED: Mapping[str, str] = {
    "size": "[width, height] in whole pixels, each 1 to 4096",
    "shorter_side_px": "a whole number of pixels, 1 to 4096",
    "fill": "a grey value or [red, green, blue], each 0 to 255, or blur",
    "scale": "a number",
    "skip_tokens": "how many tokens stand before those of the image, 0 to 64",
    **dict.fromkeys(("mean", "std"), "a number, or one for each channel"),
    **dict.fromkeys(("input", "output"), "the name of a tensor of the graph"),
    "modality": f"one of {', '.join(get_args(ImageModality))}",
    "resize": f"one of {', '.join(get_args(Resize))}",
    "interpolation": f"one of {', '.join(get_args(Interpolation))}",
    "layout": f"one of {', '.join(get_args(Layout))}",
    "dtype": f"one of {', '.join(get_args(Dtype))}",
    "color": f"one of {', '.join(get_args(Color))}",
    "pooling": f"one of {', '.join(get_args(Pooling))}",
}
# Raw pixels reach 255, centred ones less; normalised ones lie within 3 of 0 and cover more than 1.
_LARGEST_INPUT = 300.0
_SMALLEST_RANGE = 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageSpec:
    """How a network's images must be prepared: a pixel p (0..255) becomes (p * scale - mean) / std.

    `size` is (width, height). `mean` and `std` follow the order of the network's own channels: for BGR blue comes
    first. `shorter_side_px` belongs to `shortest_crop`, `fill` (red, green, blue, or "blur" for the image's own edges)
    to `letterbox`. An empty `input` or `output` means the only one that the graph has; `output` may name any tensor
    inside the graph. Where it is tokens (N, T, D) or a map (N, C, H, W), `pooling` makes one embedding of them: `cls`
    is the first token, `mean` and `max` go over the tokens behind the first `skip_tokens`, or over space.
    """

    size: tuple[Side, Side]
    modality: ImageModality = "image"
    resize: Resize = "squash"
    interpolation: Interpolation = "bilinear"
    shorter_side_px: Side | None = None
    fill: SpecFill = (128, 128, 128)
    layout: Layout = "NCHW"
    dtype: Dtype = "float32"
    color: Color = "RGB"
    scale: Number = 1.0
    mean: Numbers = (0.0,)
    std: Numbers = (1.0,)
    input: str = ""
    output: str = ""
    pooling: Pooling | None = None
    skip_tokens: SkippedTokens = 0

    def __post_init__(self) -> None:
        for key in ("mean", "std"):
            if len(getattr(self, key)) not in {1, self.channels}:
                raise BundleError(f"The spec's {key} needs {self.channels} numbers for {self.color}, or one.")
        if self.skip_tokens and self.pooling not in {"mean", "max"}:
            raise BundleError('The spec\'s skip_tokens needs a "pooling" of mean or max.')
        if 0.0 in self.std:
            raise BundleError("The spec's std must not be 0: pixels are divided by it.")
        self.preprocessing  # noqa: B018 - refuses a shorter side that the crop does not fit into, and bands of a crop
        if self.dtype == "uint8" and not all(0 <= value <= 255 for value in self._extremes()):
            raise BundleError(
                "The spec's dtype uint8 holds 0 to 255 only, but its scale, mean and std lead outside: "
                "give scale 1, mean 0 and std 1 for a network that reads the pixels as they are."
            )

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read the JSON file of a spec; raises `BundleError` with the file and the key that is wrong."""
        return read_spec(path, cls.of)

    @classmethod
    def of(cls, described: object, *, part: str = "") -> Self:
        """Check a JSON object key by key; `part` is its key in a spec of several models."""
        return checked(cls, described, _EXPECTED, part=part)

    def as_json(self) -> dict[str, Any]:
        """The JSON object that `of` reads back."""
        return {key: value for key, value in dataclasses.asdict(self).items() if value is not None}

    @property
    def precision(self) -> str:
        """What the bundle calls the file of a network with inputs of this type."""
        return "fp16" if self.dtype == "float16" else "fp32"

    @property
    def channels(self) -> int:
        """How many channels the network reads."""
        return 1 if self.color == "GRAY" else 3

    @property
    def multiplier(self) -> tuple[float, ...]:
        """The factor of a pixel, one number a channel."""
        return tuple(self.scale / std for std in self._each_channel(self.std))

    @property
    def offset(self) -> tuple[float, ...]:
        """The number added after that, one number a channel."""
        pairs = zip(self._each_channel(self.mean), self._each_channel(self.std), strict=True)
        return tuple(-mean / std for mean, std in pairs)

    @property
    def changes_pixels(self) -> bool:
        """Whether multiplier and offset do anything."""
        return any(factor != 1 for factor in self.multiplier) or any(self.offset)

    @property
    def warning(self) -> str:
        """What is unlikely about the numbers that reach the network, or nothing."""
        least, most = min(self._extremes()), max(self._extremes())
        inputs = f"The spec makes inputs of {least:.4g} to {most:.4g}"
        if max(-least, most) > _LARGEST_INPUT:
            return f'{inputs}: a mean and std that count pixels from 0 to 1 need "scale": 0.00392157 (1/255).'
        if 255 * max(abs(factor) for factor in self.multiplier) < _SMALLEST_RANGE:
            return f'{inputs}, hardly different: a mean and std that count pixels from 0 to 255 need "scale": 1.'
        return ""

    @property
    def preprocessing(self) -> Preprocessing:
        """The part that precedes the graph."""
        return Preprocessing(
            size=self.size,
            resize=self.resize,
            interpolation=self.interpolation,
            shorter_side_px=self.shorter_side_px,
            fill=self.fill,
        )

    def _each_channel(self, values: tuple[float, ...]) -> tuple[float, ...]:
        return values if len(values) == self.channels else values * self.channels

    def _extremes(self) -> list[float]:
        pairs = zip(self.multiplier, self.offset, strict=True)
        return [value for factor, offset in pairs for value in (offset, 255 * factor + offset)]
