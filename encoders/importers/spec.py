"""The spec of an ONNX image model: how its pictures must be prepared and which output is the embedding."""

import dataclasses
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Self, get_args

from encoders.bundle import Fill, Interpolation, Preprocessing, Resize
from encoders.errors import BundleError
from encoders.importers.model_file import read_text_file

Color = Literal["RGB", "BGR", "GRAY"]
Dtype = Literal["float32", "float16", "uint8"]
Layout = Literal["NCHW", "NHWC"]
Pooling = Literal["cls", "mean", "max"]
PictureModality = Literal["image", "sketch"]

# Raw pixels reach 255, centred ones less; normalised ones lie within 3 of 0 and cover more than 1.
_LARGEST_INPUT = 300.0
_SMALLEST_RANGE = 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageSpec:
    """How a network wants its pictures: a pixel p (0..255) becomes (p * scale - mean) / std.

    `size` is (width, height). `mean` and `std` follow the order of the network's own channels: for BGR blue comes
    first. `shorter_side_px` belongs to `shortest_crop`, `fill` (red, green, blue, or "blur" for the picture's own edges)
    to `letterbox`. An empty `input` or `output` means the only one that the graph has; `output` may name any tensor
    inside the graph. Where it gives tokens (N, T, D) or a map (N, C, H, W), `pooling` makes one embedding of them: `cls`
    takes the first token, `mean` and `max` go over the tokens or over space.
    """

    size: tuple[int, int]
    modality: PictureModality = "image"
    resize: Resize = "squash"
    interpolation: Interpolation = "bilinear"
    shorter_side_px: int | None = None
    fill: Fill = (128, 128, 128)
    layout: Layout = "NCHW"
    dtype: Dtype = "float32"
    color: Color = "RGB"
    scale: float = 1.0
    mean: tuple[float, ...] = (0.0,)
    std: tuple[float, ...] = (1.0,)
    input: str = ""
    output: str = ""
    pooling: Pooling | None = None

    def __post_init__(self) -> None:
        for key in ("mean", "std"):
            if len(getattr(self, key)) not in {1, self.channels}:
                raise BundleError(f"The spec's {key} needs {self.channels} numbers for {self.color}, or one.")
        if 0.0 in self.std:
            raise BundleError("The spec's std must not be 0: pixels are divided by it.")
        self.preprocessing  # noqa: B018 - refuses a shorter side that the crop does not fit into, and bands of a crop
        if self.dtype == "uint8" and not all(0 <= value <= 255 for value in self._extremes()):
            raise BundleError(
                "The spec's dtype uint8 holds 0 to 255 only, but its scale, mean and std lead outside: "
                "give scale 1, mean 0 and std 1 for a network that takes the pixels as they are."
            )

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read the JSON file of a spec; raises `BundleError` with the file and the key that is wrong."""
        try:
            return cls.of(json.loads(read_text_file(path)))
        except json.JSONDecodeError as error:
            raise BundleError(f"{path}, line {error.lineno} is not JSON: {error.msg}.") from error
        except (ValueError, RecursionError) as error:
            raise BundleError(f"{path} is not the JSON object of a spec.") from error
        except BundleError as error:
            raise BundleError(f"{path}: {error}") from error

    @classmethod
    def of(cls, described: object) -> Self:
        """Check a JSON object key by key."""
        if not isinstance(described, dict):
            raise BundleError("A spec is one JSON object, such as {" + '"size": [224, 224]' + "}.")
        unknown = sorted(set(described) - set(_PARSERS))
        if unknown:
            raise BundleError(f"The spec's key {unknown[0]!r} is unknown; the keys are {', '.join(_PARSERS)}.")
        if "size" not in described:
            raise BundleError('The spec needs "size": [width, height] of the network\'s input in pixels.')
        return cls(**{key: _PARSERS[key](key, value) for key, value in described.items()})

    def as_json(self) -> dict[str, Any]:
        """The JSON object that `of` reads back."""
        return {key: value for key, value in dataclasses.asdict(self).items() if value is not None}

    @property
    def channels(self) -> int:
        """How many channels the network takes."""
        return 1 if self.color == "GRAY" else 3

    @property
    def multiplier(self) -> tuple[float, ...]:
        """What a pixel is multiplied by, one number a channel."""
        return tuple(self.scale / std for std in self._each_channel(self.std))

    @property
    def offset(self) -> tuple[float, ...]:
        """What is added after that, one number a channel."""
        pairs = zip(self._each_channel(self.mean), self._each_channel(self.std), strict=True)
        return tuple(-mean / std for mean, std in pairs)

    @property
    def changes_pixels(self) -> bool:
        """Whether multiplier and offset do anything."""
        return any(factor != 1 for factor in self.multiplier) or any(self.offset)

    @property
    def warning(self) -> str:
        """What is unlikely about the numbers that the network gets, or nothing."""
        least, most = min(self._extremes()), max(self._extremes())
        inputs = f"The spec makes inputs of {least:.4g} to {most:.4g}"
        if max(-least, most) > _LARGEST_INPUT:
            return f'{inputs}: a mean and std that count pixels from 0 to 1 need "scale": 0.00392157 (1/255).'
        if 255 * max(abs(factor) for factor in self.multiplier) < _SMALLEST_RANGE:
            return f'{inputs}, hardly different: a mean and std that count pixels from 0 to 255 need "scale": 1.'
        return ""

    @property
    def preprocessing(self) -> Preprocessing:
        """The part that happens before the graph."""
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


def _one_of(*choices: str) -> Callable[[str, object], str]:
    def parse(key: str, value: object) -> str:
        if not isinstance(value, str) or value not in choices:
            raise _wrong(key, value, f"one of {', '.join(choices)}")
        return value

    return parse


def _name(key: str, value: object) -> str:
    if not isinstance(value, str):
        raise _wrong(key, value, "the name of a tensor of the graph")
    return value


def _number(key: str, value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not -1e30 < value < 1e30:
        raise _wrong(key, value, "a number")
    return float(value)


def _numbers(key: str, value: object) -> tuple[float, ...]:
    return tuple(_number(key, item) for item in (value if isinstance(value, list | tuple) else [value]))


def _pixels(key: str, value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= 4096:
        raise _wrong(key, value, "a whole number of pixels, 1 to 4096")
    return value


def _size(key: str, value: object) -> tuple[int, int]:
    if not isinstance(value, list | tuple) or len(value) != 2:
        raise _wrong(key, value, "[width, height] in pixels")
    return _pixels(key, value[0]), _pixels(key, value[1])


def _fill(key: str, value: object) -> Fill:
    if value == "blur":
        return "blur"
    parts = [value] * 3 if isinstance(value, int) else value
    wanted = "a grey value or [red, green, blue], each 0 to 255, or blur"
    if not isinstance(parts, list | tuple) or len(parts) != 3:
        raise _wrong(key, value, wanted)
    for part in parts:
        if isinstance(part, bool) or not isinstance(part, int) or not 0 <= part <= 255:
            raise _wrong(key, value, wanted)
    return parts[0], parts[1], parts[2]


def _wrong(key: str, value: object, wanted: str) -> BundleError:
    return BundleError(f"The spec's {key} is {json.dumps(value)[:80]}; it must be {wanted}.")


_PARSERS: Mapping[str, Callable[[str, Any], Any]] = {
    "modality": _one_of(*get_args(PictureModality)),
    "size": _size,
    "resize": _one_of(*get_args(Resize)),
    "interpolation": _one_of(*get_args(Interpolation)),
    "shorter_side_px": _pixels,
    "fill": _fill,
    "layout": _one_of(*get_args(Layout)),
    "dtype": _one_of(*get_args(Dtype)),
    "color": _one_of(*get_args(Color)),
    "scale": _number,
    "mean": _numbers,
    "std": _numbers,
    "input": _name,
    "output": _name,
    "pooling": _one_of(*get_args(Pooling)),
}
