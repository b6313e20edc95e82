"""From a caller's content to the inputs of a model: pictures are decoded, cut and resized, words become tokens."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from domain.box import Box
from encoders.bundle import Preprocessing
from encoders.errors import InvalidContent
from encoders.images.decoding import open_image
from encoders.images.pixels import Pixels
from encoders.images.resizing import check_box, crop, enough_px, is_blank, resize
from encoders.serving.session import ModelInput
from encoders.serving.text import Tokenizer
from rpc.priority import Priority
from services.encoder.call import Call
from services.encoder.decoders import Decoders


@dataclass(frozen=True, slots=True)
class Content:
    """One thing to embed; `region` is the part of an image that is meant, `regions` are several of them."""

    modality: Literal["image", "sketch", "text"]
    data: bytes | str
    region: Box | None = None
    regions: tuple[Box, ...] = ()

    @property
    def parts(self) -> tuple[Box | None, ...]:
        """What is embedded, each with a result of its own; None stands for the whole."""
        return self.regions or (self.region,)


@dataclass(frozen=True, slots=True)
class Readable:
    """What the model will see of one part of a content, and what its caller should know."""

    item: ModelInput
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class PictureSize:
    """Width and height of an upright picture in pixels."""

    width_px: int
    height_px: int


class Reader(Protocol):
    """Prepares contents for one bundle."""

    def read(self, content: Content, call: Call[Any]) -> list[Readable | InvalidContent]:
        """Read each part of a content, in order; raises `InvalidContent` where none of them can be read.

        `DecodingCancelled` ends the work for a call that is over.
        """


class TextReader:
    """Splits words into tokens."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer

    def read(self, content: Content, call: Call[Any]) -> list[Readable | InvalidContent]:  # noqa: ARG002
        """Split the text; one of unknown words only is refused, for its embedding would be any other's."""
        tokens = self._tokenizer.encode(str(content.data))
        if tokens.refusal:
            raise InvalidContent(tokens.refusal)
        return [Readable(tokens.ids, tokens.warnings)]


class PictureReader:
    """Decodes pictures and sketches, within the limits that all bundles of the process share for each lane."""

    def __init__(self, preprocessing: Preprocessing, decoders: Mapping[Priority, Decoders]) -> None:
        self._preprocessing = preprocessing
        self._decoders = decoders

    def read(self, content: Content, call: Call[Any]) -> list[Readable | InvalidContent]:
        """Decode the picture once and cut out every region that is wanted of it."""
        return self.read_sized(content, call)[0]

    def read_sized(self, content: Content, call: Call[Any]) -> tuple[list[Readable | InvalidContent], PictureSize]:
        """Do the same and tell the upright picture's size."""
        data, preprocessing, decoders = content.data, self._preprocessing, self._decoders[call.priority]
        assert isinstance(data, bytes), "text reached a bundle that reads pictures"
        if content.region is not None and content.regions:
            raise InvalidContent("Give either region or regions, not both.")
        problems = [_problem(region) for region in content.parts]
        usable = [region for region, problem in zip(content.parts, problems, strict=True) if problem is None]
        with decoders.permit(call.deadline):
            opened = open_image(data, is_cancelled=lambda: call.is_over)
            enough = enough_px(opened.header, usable, preprocessing)
            memory = opened.decode_bytes(enough_px=enough)
            with decoders.memory(memory, call.deadline, lambda: call.is_over):
                picture = opened.decode(enough_px=enough, background=preprocessing.background)
                if content.modality == "sketch" and is_blank(picture.pixels):
                    raise InvalidContent("The sketch is blank; draw at least one stroke.")
                inputs = [
                    problem or Readable(_cut(picture.pixels, region, preprocessing), picture.warnings)
                    for region, problem in zip(content.parts, problems, strict=True)
                ]
        return inputs, PictureSize(picture.width_px, picture.height_px)


def _problem(region: Box | None) -> InvalidContent | None:
    try:
        if region is not None:
            check_box(region)
    except InvalidContent as error:
        return error
    return None


def _cut(pixels: Pixels, region: Box | None, preprocessing: Preprocessing) -> Pixels:
    return resize(pixels if region is None else crop(pixels, region), preprocessing)
