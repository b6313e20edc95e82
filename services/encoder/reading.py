"""From a caller's content to the inputs of a model: pictures are decoded, cut and resized, words become tokens."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from encoders.bundle import Preprocessing
from encoders.errors import InvalidContent
from encoders.image import Box, Pixels, check_box, crop, enough_px, is_blank, open_picture, resize
from encoders.session import ModelInput
from encoders.text import Tokenizer
from rpc.deadline import Deadline
from services.encoder.decoders import Decoders


@dataclass(frozen=True, slots=True)
class Content:
    """One thing to embed; `region` is the part of an image that is meant."""

    modality: Literal["image", "sketch", "text"]
    data: bytes | str
    region: Box | None = None


@dataclass(frozen=True, slots=True)
class Readable:
    """What the model will see of one content, and what its caller should know."""

    item: ModelInput
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class PictureSize:
    """Width and height of an upright picture in pixels."""

    width_px: int
    height_px: int


class Reader(Protocol):
    """Prepares contents for one bundle."""

    def read(self, contents: Sequence[Content], deadline: Deadline) -> list[Readable | InvalidContent]:
        """Read contents that share their data, in order; raises `InvalidContent` where none of them can be read."""


class TextReader:
    """Splits words into tokens."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer

    def read(self, contents: Sequence[Content], deadline: Deadline) -> list[Readable | InvalidContent]:  # noqa: ARG002
        """Split the text once; a text of unknown words only is refused, for its embedding would be any other's."""
        tokens = self._tokenizer.encode(str(contents[0].data))
        if tokens.refusal:
            raise InvalidContent(tokens.refusal)
        return [Readable(tokens.ids, tokens.warnings)] * len(contents)


class PictureReader:
    """Decodes pictures and sketches, within the limits that all bundles of the process share."""

    def __init__(self, preprocessing: Preprocessing, decoders: Decoders) -> None:
        self._preprocessing = preprocessing
        self._decoders = decoders

    def read(self, contents: Sequence[Content], deadline: Deadline) -> list[Readable | InvalidContent]:
        """Decode the picture once and cut out every region that is wanted of it."""
        return self.read_sized(contents, deadline)[0]

    def read_sized(
        self, contents: Sequence[Content], deadline: Deadline
    ) -> tuple[list[Readable | InvalidContent], PictureSize]:
        """Do the same and tell the upright picture's size."""
        data, preprocessing = contents[0].data, self._preprocessing
        assert isinstance(data, bytes), "text reached a bundle that reads pictures"
        problems = [_problem(content.region) for content in contents]
        usable = [content.region for content, problem in zip(contents, problems, strict=True) if problem is None]
        with self._decoders.permit(deadline):
            opened = open_picture(data)
            header = opened.header
            with self._decoders.pixels(header.width_px * header.height_px, deadline):
                picture = opened.decode(
                    enough_px=enough_px(header, usable, preprocessing), background=preprocessing.background
                )
                if contents[0].modality == "sketch" and is_blank(picture.pixels):
                    raise InvalidContent("The sketch is blank; draw at least one stroke.")
                inputs = [
                    problem or Readable(_cut(picture.pixels, content.region, preprocessing), picture.warnings)
                    for content, problem in zip(contents, problems, strict=True)
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
