"""Darknet's `.cfg` files of the YOLOv3 family: read into typed layers whose shapes fit."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import get_args

from encoders.errors import BundleError
from encoders.importers.darknet.layers import (
    Activation,
    Convolutional,
    Dropout,
    Layer,
    MaxPool,
    Network,
    Route,
    Shape,
    Shortcut,
    Upsample,
    Yolo,
)
from encoders.importers.darknet.sections import Section, parse_sections
from encoders.importers.model_file import read_text_file

_MAX_SIDE_PX = 4096
_MAX_CHANNELS = 65_536
_MAX_LAYERS = 2_000
_ACTIVATIONS: Mapping[str, Activation] = {name: name for name in get_args(Activation)}


def read_cfg(path: Path) -> Network:
    """Read a `.cfg`; raises `BundleError` with the file, the line and what is wrong there."""
    text = read_text_file(path)
    try:
        return parse_cfg(text)
    except BundleError as error:
        raise BundleError(f"{path}, {error}") from error


def parse_cfg(text: str) -> Network:
    """Turn the text of a `.cfg` into a network."""
    sections = parse_sections(text)
    if not sections or sections[0].kind not in {"net", "network"}:
        raise BundleError("line 1: a Darknet .cfg starts with [net].")
    if len(sections) > _MAX_LAYERS:
        raise sections[-1].wrong(f"more than {_MAX_LAYERS} layers")
    net = sections[0]
    image = shape = Shape(
        channels=net.integer("channels", 3, least=1, most=_MAX_CHANNELS),
        height=net.integer("height", least=1, most=_MAX_SIDE_PX),
        width=net.integer("width", least=1, most=_MAX_SIDE_PX),
    )
    layers: list[Layer] = []
    for section in sections[1:]:
        read = _READERS.get(section.kind)
        if read is None:
            raise section.wrong(f"this layer is not supported; {', '.join(_READERS)} are")
        layers.append(read(section, shape, layers))
        shape = layers[-1].shape
    if not layers:
        raise net.wrong("no layer follows [net]")
    return Network(input=image, layers=tuple(layers), letter_box=net.flag("letter_box"))


def _convolutional(section: Section, before: Shape, layers: list[Layer]) -> Layer:
    section.refuse_unless(dilation=1, antialiasing=0, binary=0, xnor=0, flipped=0, deform=0, assisted_excitation=0)
    section.refuse_unless(stride_x=None, stride_y=None, share_index=None)
    filters = section.integer("filters", 1, least=1, most=_MAX_CHANNELS)
    size = section.integer("size", 1, least=1, most=255)
    stride = section.integer("stride", 1, least=1, most=255)
    # `pad=1` stands for half the kernel, not for one pixel.
    padding = size // 2 if section.flag("pad") else section.integer("padding", 0, least=0, most=255)
    groups = section.integer("groups", 1, least=1, most=_MAX_CHANNELS)
    if before.channels % groups or filters % groups:
        raise section.wrong(f"{before.channels} channels and {filters} filters cannot be cut into groups={groups}")
    return Convolutional(
        number=len(layers),
        shape=_window(section, before, channels=filters, size=size, stride=stride, padding=2 * padding),
        in_channels=before.channels,
        size=size,
        stride=stride,
        padding=padding,
        groups=groups,
        batch_normalize=section.flag("batch_normalize"),
        activation=_activation(section, "logistic"),
    )


def _shortcut(section: Section, before: Shape, layers: list[Layer]) -> Layer:
    if section.text("weights_type", "none") != "none":
        raise section.wrong("weights_type is not supported")
    sources = _sources(section, "from", layers)
    for source in sources:
        if layers[source].shape != before:
            raise section.wrong(f"layer {source} has the shape {layers[source].shape}, the layer before {before}")
    activation = _activation(section, "linear")
    return Shortcut(number=len(layers), shape=before, sources=sources, activation=activation)


def _route(section: Section, _before: Shape, layers: list[Layer]) -> Layer:
    sources = _sources(section, "layers", layers)
    groups = section.integer("groups", 1, least=1, most=_MAX_CHANNELS)
    group_id = section.integer("group_id", 0, least=0, most=groups - 1)
    shapes = [layers[source].shape for source in sources]
    for shape in shapes:
        if (shape.height, shape.width) != (shapes[0].height, shapes[0].width):
            raise section.wrong(f"{shapes[0]} and {shape} cannot be put side by side")
        if shape.channels % groups:
            raise section.wrong(f"{shape.channels} channels cannot be cut into groups={groups}")
    channels = sum(shape.channels // groups for shape in shapes)
    shape = Shape(channels, shapes[0].height, shapes[0].width)
    return Route(number=len(layers), shape=shape, sources=sources, groups=groups, group_id=group_id)


def _upsample(section: Section, before: Shape, layers: list[Layer]) -> Layer:
    section.refuse_unless(scale=1)
    stride = section.integer("stride", 2, least=1, most=32)
    shape = Shape(before.channels, before.height * stride, before.width * stride)
    if max(shape.height, shape.width) > _MAX_SIDE_PX:
        raise section.wrong(f"the layer has the shape {shape}, more than {_MAX_SIDE_PX} a side")
    return Upsample(number=len(layers), shape=shape, stride=stride)


def _maxpool(section: Section, before: Shape, layers: list[Layer]) -> Layer:
    section.refuse_unless(maxpool_depth=0, antialiasing=0, stride_x=None, stride_y=None)
    stride = section.integer("stride", 1, least=1, most=255)
    size = section.integer("size", stride, least=1, most=255)
    padding = section.integer("padding", size - 1, least=0, most=2 * size - 2)
    shape = _window(section, before, channels=before.channels, size=size, stride=stride, padding=padding)
    return MaxPool(number=len(layers), shape=shape, size=size, stride=stride, padding=padding)


def _dropout(_section: Section, before: Shape, layers: list[Layer]) -> Layer:
    return Dropout(number=len(layers), shape=before)


def _yolo(section: Section, before: Shape, layers: list[Layer]) -> Layer:
    section.refuse_unless(new_coords=0)
    classes = section.integer("classes", 20, least=1, most=_MAX_CHANNELS)
    anchors = _anchors(section)
    needed = len(anchors) * (5 + classes)
    if before.channels != needed:
        raise section.wrong(
            f"the layer before has {before.channels} channels; {len(anchors)} anchors of {classes} classes need {needed}"
        )
    scale_x_y = section.number("scale_x_y", 1.0)
    return Yolo(number=len(layers), shape=before, anchors=anchors, classes=classes, scale_x_y=scale_x_y)


def _anchors(section: Section) -> tuple[tuple[float, float], ...]:
    numbers = section.numbers("anchors")
    if len(numbers) % 2 or any(number <= 0 for number in numbers):
        raise section.wrong("anchors must be pairs of width and height in pixels")
    pairs = list(zip(numbers[::2], numbers[1::2], strict=True))
    mask = section.integers("mask") if "mask" in section else tuple(range(len(pairs)))
    if not mask or not all(0 <= number < len(pairs) for number in mask):
        raise section.wrong(f"mask must choose among the {len(pairs)} anchors, 0 to {len(pairs) - 1}")
    return tuple(pairs[number] for number in mask)


def _sources(section: Section, key: str, layers: list[Layer]) -> tuple[int, ...]:
    """Layer numbers; negative ones count back from this layer."""
    sources = tuple(number if number >= 0 else len(layers) + number for number in section.integers(key))
    if not sources or not all(0 <= source < len(layers) for source in sources):
        raise section.wrong(f"{key} must name layers before this one, which is number {len(layers)}")
    return sources


def _activation(section: Section, default: Activation) -> Activation:
    name = section.text("activation", default)
    if name not in _ACTIVATIONS:
        raise section.wrong(f"activation={name} is not supported; {', '.join(_ACTIVATIONS)} are", "activation")
    return _ACTIVATIONS[name]


def _window(section: Section, before: Shape, *, channels: int, size: int, stride: int, padding: int) -> Shape:
    """The shape after a window of `size` went over the padded image in steps of `stride`."""
    height, width = ((side + padding - size) // stride + 1 for side in (before.height, before.width))
    if height < 1 or width < 1:
        raise section.wrong(f"size={size} does not fit into {before.height}x{before.width}")
    return Shape(channels, height, width)


_READERS: Mapping[str, Callable[[Section, Shape, list[Layer]], Layer]] = {
    "convolutional": _convolutional,
    "conv": _convolutional,
    "shortcut": _shortcut,
    "route": _route,
    "upsample": _upsample,
    "maxpool": _maxpool,
    "max": _maxpool,
    "dropout": _dropout,
    "yolo": _yolo,
}
