"""The spec of an ONNX text model, and that of an image and a text model that share one space."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Literal, Self, get_args

from pydantic import Field

from encoders.errors import BundleError
from encoders.importers.onnx.spec import ImageSpec, Number
from encoders.importers.onnx.spec_file import checked

Padding = Literal["longest", "fixed"]
TextPooling = Literal["cls", "mean", "eos", "last"]
Cleaning = Literal["none", "clip", "canonicalize"]

Length = Annotated[int, Field(strict=True, ge=4, le=1024)]
TokenId = Annotated[int, Field(strict=True, ge=0, lt=2**31)]
TokenText = Annotated[str, Field(strict=True, min_length=1, max_length=64)]

_EXPECTED: Mapping[str, str] = {
    "length": "a whole number of tokens, 4 to 1024",
    "pad": "the id of the padding token, or its text",
    **dict.fromkeys(("start", "end"), "the text of a token"),
    **dict.fromkeys(("ids", "mask", "positions", "types", "output"), "the name of a tensor of the graph"),
    "padding": f"one of {', '.join(get_args(Padding))}",
    "pooling": f"one of {', '.join(get_args(TextPooling))}",
    "cleaning": f"one of {', '.join(get_args(Cleaning))}",
}
_PAIR: Mapping[str, str] = {
    "image": "the spec of the image model",
    "text": "the spec of the text model",
    "sketches": "true or false",
    **dict.fromkeys(("logit_scale", "logit_bias"), "a number"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class TextSpec:
    """How a network's texts must be prepared.

    At most `length` tokens are read, `start` and `end` included, which are put around a text where its `tokenizer.json`
    does not do so. `padding` is `longest`, to the longest text of a batch, or `fixed`, to `length`, with the token `pad`.
    `ids`, `mask`, `positions` and `types` are inputs of the graph, found by their usual names where they are empty.
    `output` is one embedding for each text, or tokens (N, T, D) that `pooling` makes one of: `cls` is the first token,
    `mean` goes over the text's own tokens, `eos` is the last of them, and `last` is the last one with the padding.
    `cleaning` precedes the tokenizer: `clip` repairs and lower-cases, `canonicalize` removes punctuation too.
    """

    length: Length = 77
    padding: Padding = "longest"
    pad: TokenId | TokenText | None = None
    start: TokenText | None = None
    end: TokenText | None = None
    cleaning: Cleaning = "none"
    ids: str = ""
    mask: str = ""
    positions: str = ""
    types: str = ""
    output: str = ""
    pooling: TextPooling | None = None

    def __post_init__(self) -> None:
        if self.pooling == "last" and self.padding != "fixed":
            raise BundleError(
                'The spec\'s text.pooling "last" needs "padding": "fixed"; "eos" is the text\'s own last token.'
            )

    @classmethod
    def of(cls, described: object) -> Self:
        """Check a JSON object key by key."""
        return checked(cls, described, _EXPECTED, part="text")


@dataclass(frozen=True, slots=True, kw_only=True)
class PairSpec:
    """Two models of one space. The scale and bias of their published scores are kept as information alone.

    With `sketches` the image model embeds drawings too.
    """

    image: ImageSpec
    text: TextSpec
    sketches: Annotated[bool, Field(strict=True)] = False
    logit_scale: Number | None = None
    logit_bias: Number | None = None

    @classmethod
    def of(cls, described: object) -> Self:
        """Check a JSON object key by key."""
        if not isinstance(described, dict) or not {"image", "text"} <= described.keys():
            raise BundleError(f'The spec of a pair needs "image", {_PAIR["image"]}, and "text", {_PAIR["text"]}.')
        image, text = ImageSpec.of(described["image"], part="image"), TextSpec.of(described["text"])
        if image.modality != "image":
            raise BundleError('The spec\'s image.modality must be image; "sketches": true makes it read drawings too.')
        return checked(cls, {**described, "image": image, "text": text}, _PAIR)

    @property
    def information(self) -> dict[str, float]:
        """What is only kept."""
        kept = {"logit_scale": self.logit_scale, "logit_bias": self.logit_bias}
        return {name: value for name, value in kept.items() if value is not None}
