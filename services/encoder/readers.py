"""From a caller's inputs to those of a model: images are decoded, cropped and resized, words become tokens."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from domain.box import Box, is_inside
from domain.modality import Modality
from encoders.bundle import Preprocessing
from encoders.errors import InvalidContent
from encoders.images.decoding import DecodedImage, open_image
from encoders.images.resizing import crop, enough_px, is_blank, resize
from encoders.serving.session import ModelInput
from encoders.serving.text import Tokenizer
from rpc.priority import Priority
from services.encoder.call import ModelCall
from services.encoder.decoders import Decoders


@dataclass(frozen=True, slots=True)
class EncoderInput:
    """One thing for a model to read; `region` is the part of an image that is meant, `regions` are several of them."""

    modality: Modality
    content: bytes | str
    region: Box | None = None
    regions: tuple[Box, ...] = ()

    @property
    def parts(self) -> tuple[Box | None, ...]:
        """The parts that have an outcome each; None stands for the whole."""
        return self.regions or (self.region,)


@dataclass(frozen=True, slots=True)
class Prepared:
    """What the model will see of one part of an input; `image_px` is the upright image's (width, height)."""

    model_input: ModelInput
    warnings: tuple[str, ...] = ()
    image_px: tuple[int, int] = (0, 0)


class Reader(Protocol):
    """Prepares inputs for one bundle."""

    def read(self, item: EncoderInput, call: ModelCall[Any]) -> list[Prepared | InvalidContent]:
        """Read each part of an input, in order; raises `InvalidContent` where none of them can be read.

        `DecodingCancelled` ends the work for a call that is over.
        """


class TextReader:
    """Splits words into tokens."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer

    def read(self, item: EncoderInput, call: ModelCall[Any]) -> list[Prepared | InvalidContent]:  # noqa: ARG002
        """Split the text; one of unknown words only is refused, because all such texts have the same embedding."""
        tokens = self._tokenizer.encode(str(item.content))
        if tokens.refusal:
            raise InvalidContent(tokens.refusal)
        return [Prepared(tokens.ids, tokens.warnings)]


class ImageReader:
    """Decodes images and sketches, within the limits that all bundles of the process share for each lane."""

    def __init__(self, preprocessing: Preprocessing, decoders: Mapping[Priority, Decoders]) -> None:
        self._preprocessing = preprocessing
        self._decoders = decoders

    def read(self, item: EncoderInput, call: ModelCall[Any]) -> list[Prepared | InvalidContent]:
        """Decode the image once and crop every region out of it."""
        data, preprocessing, decoders = item.content, self._preprocessing, self._decoders[call.priority]
        assert isinstance(data, bytes), "text reached a bundle that reads images"
        if item.region is not None and item.regions:
            raise InvalidContent("Give either region or regions, not both.")
        usable = [region for region in item.parts if region is None or is_inside(region)]
        # The permit is for a core, the memory for its pixels: many small images and few large ones are both bounded.
        with decoders.permit(call.deadline):
            # Kind, size and memory are known from the header, before a pixel is decoded.
            opened = open_image(data, is_cancelled=lambda: call.is_over)
            enough = enough_px(opened.header, usable, preprocessing)
            size = opened.decode_bytes(enough_px=enough)
            with decoders.memory.reserve(size, call.deadline.left_s(), lambda: call.is_over):
                image = opened.decode(enough_px=enough, background=preprocessing.background)
                if item.modality == "sketch" and is_blank(image.pixels):
                    raise InvalidContent("The sketch is blank; draw at least one stroke.")
                return [_prepared(image, region, preprocessing) for region in item.parts]


def _prepared(image: DecodedImage, region: Box | None, preprocessing: Preprocessing) -> Prepared | InvalidContent:
    try:
        pixels = image.pixels if region is None else crop(image.pixels, region)
    except InvalidContent as error:
        return error
    return Prepared(resize(pixels, preprocessing), image.warnings, (image.width_px, image.height_px))
