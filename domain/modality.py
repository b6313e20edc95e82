"""The kinds of content that an encoder can embed."""

from typing import Literal, TypeAlias

Modality: TypeAlias = Literal["image", "sketch", "text"]
