"""Collections: made for an encoder that is served, and read with their counts."""

import time
from dataclasses import dataclass

from rpc.directory import EncoderDirectory, EncoderEntry
from rpc.errors import InvalidArgument, NotFound
from rpc.tasks import gather
from services.stores.images import ImageStore
from services.stores.records import Collection, CollectionMode, Counts, check_collection_name


@dataclass(frozen=True, slots=True)
class NewCollection:
    """What the caller decides; an empty detector in an objects collection is the only one served."""

    name: str
    encoder: str
    detector: str
    mode: CollectionMode
    index: str


class Collections:
    """Creates and reads collections; raises ServiceError."""

    def __init__(self, store: ImageStore, directory: EncoderDirectory) -> None:
        self._store = store
        self._directory = directory

    async def create(self, new: NewCollection) -> Collection:
        """The collection as it was created, in the space of its encoder."""
        check_collection_name(new.name)
        encoder = await self._encoder(new.encoder)
        return await self._store.create(
            Collection(
                name=new.name,
                space=encoder.info.space,
                encoder=encoder.info.name,
                detector=await self._detector(new),
                mode=new.mode,
                index=new.index,
                dimension=encoder.info.dimension,
                create_time_s=time.time(),
            )
        )

    async def get(self, name: str) -> tuple[Collection, Counts]:
        """One collection with its counts."""
        return await self._store.get(name), await self._store.counts(name)

    async def list(self) -> list[tuple[Collection, Counts | None]]:
        """All collections, by name, with their counts, None while a collection's records are being rebuilt."""
        collections = sorted(await self._store.collections(), key=lambda collection: collection.name)
        found = await gather(*(self._counted(collection) for collection in collections))
        return [pair for pair in found if pair is not None]

    async def delete(self, name: str) -> None:
        """Drops the collection with everything in it."""
        await self._store.drop(name)

    async def _counted(self, collection: Collection) -> tuple[Collection, Counts | None] | None:
        """None where the collection went away meanwhile."""
        try:
            return collection, await self._store.counts_or_none(collection.name)
        except NotFound:
            return None

    async def _encoder(self, name: str) -> EncoderEntry:
        if not name:
            served = ", ".join(entry.info.name for entry in await self._directory.encoders()) or "none"
            raise InvalidArgument(f"collection.encoder: name the encoder of its pictures; served are: {served}")
        encoder = await self._directory.encoder(name)
        if "image" not in encoder.info.modalities:
            modalities = " and ".join(sorted(encoder.info.modalities))
            raise InvalidArgument(f"collection.encoder: {name!r} embeds {modalities}; choose one that embeds images")
        return encoder

    async def _detector(self, new: NewCollection) -> str:
        """The detector's name; a whole-image collection may name one for queries that ask for `detect`."""
        if not new.detector and new.mode is not CollectionMode.OBJECTS:
            return ""
        return (await self._directory.detector(new.detector)).info.name
