"""The parts of a query: words, images, sketches, stored images and embeddings, each with its weight."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self, TypeAlias

import numpy as np
import numpy.typing as npt

from fovea.client.content import ImageContent, image_bytes
from fovea.client.results import Box
from fovea.search.v1 import search_pb2


@dataclass(frozen=True, slots=True)
class Part:
    """One part of a query; make it with one of the class methods. A negative weight pushes away."""

    message: search_pb2.QueryPart

    @classmethod
    def text(cls, words: str, *, weight: float | None = None) -> Self:
        """Words that describe the image."""
        return cls(search_pb2.QueryPart(text=words, weight=weight))

    @classmethod
    def image(
        cls,
        image: ImageContent,
        *,
        weight: float | None = None,
        region: Box | None = None,
        regions: Sequence[Box] = (),
        detect: bool = False,
        match_all: bool = False,
    ) -> Self:
        """An image, a region of it, several, or with `detect` every object that is found in it.

        Of several regions any may be found, or with `match_all` all of them have to be in one image.
        """
        return cls(
            search_pb2.QueryPart(
                image=image_bytes(image),
                weight=weight,
                region=region.as_message() if region else None,
                regions=[box.as_message() for box in regions],
                detect=detect,
                match=search_pb2.REGION_MATCH_ALL if match_all else search_pb2.REGION_MATCH_UNSPECIFIED,
            )
        )

    @classmethod
    def sketch(cls, sketch: ImageContent, *, weight: float | None = None) -> Self:
        """A drawing of dark strokes on white or on nothing."""
        return cls(search_pb2.QueryPart(sketch=image_bytes(sketch), weight=weight))

    @classmethod
    def stored(cls, image_id: str, *, weight: float | None = None) -> Self:
        """An image that the collection holds."""
        return cls(search_pb2.QueryPart(image_id=image_id, weight=weight))

    @classmethod
    def embedding(cls, embedding: npt.NDArray[np.floating[Any]], *, weight: float | None = None) -> Self:
        """An embedding in the collection's space, (D,)."""
        return cls(search_pb2.QueryPart(embedding=np.asarray(embedding, "<f4").tobytes(), weight=weight))


PartLike: TypeAlias = Part | ImageContent
"""A part, words as `str`, or an image as everything else that an image can be."""


def part_of(part: PartLike) -> search_pb2.QueryPart:
    """The message of a part; a text stands for words, not for a path."""
    if isinstance(part, Part):
        return part.message
    return Part.text(part).message if isinstance(part, str) else Part.image(part).message
