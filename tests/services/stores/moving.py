"""Moves to another space for the tests of the stores: what a run does, without encoders."""

from typing import Any

from services.stores.images import ImageStore
from services.stores.moves import Move
from services.stores.records import WHOLE_IMAGE_REGION, Embeddings, ImageRecord, StoredImage, image_id_of
from tests.services.stores.making import unit_embeddings

DIMENSION = 24
NEW: dict[str, Any] = {"space": "new", "encoder": "other", "dimension": DIMENSION}


def new_embedding(uri: str) -> Embeddings:
    """The embedding of an image in the new space."""
    return unit_embeddings(1, seed=int(image_id_of(uri)[:6], 16), dimension=DIMENSION)


async def copy(move: Move, records: list[ImageRecord]) -> None:
    images = [StoredImage(record, (WHOLE_IMAGE_REGION,), new_embedding(record.uri)) for record in records]
    if images:
        await move.adopt(images)


async def copy_all(move: Move) -> int:
    """Copy what the target lacks; how many images these were."""
    copied = 0
    async for _, missing in move.differences():
        await copy(move, missing)
        copied += len(missing)
    return copied


async def copy_changes(move: Move) -> list[str]:
    """Copy what changed; the uris of what was to be embedded."""
    copied: list[str] = []
    while (records := await move.changes(1000)) is not None:
        await copy(move, records)
        copied += [record.uri for record in records]
    return sorted(copied)


async def switch(move: Move) -> None:
    """End a move as a run does."""
    async with move.sealed():
        assert await move.is_drained()
        await copy_changes(move)
        await move.verify()
        await move.switch()


async def moved(store: ImageStore, name: str, **to: Any) -> None:
    """Move a collection at once."""
    async with store.moves.open(name, **{**NEW, **to}) as move:
        await copy_all(move)
        await switch(move)
