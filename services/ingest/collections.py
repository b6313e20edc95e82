"""Collections: created for an encoder that is served, and listed with their counts."""

import time

from domain.limits import MAX_DISPLAY_NAME
from rpc.directory import EncoderDirectory, EncoderEntry
from rpc.errors import InvalidArgument, NotFound
from rpc.tasks import gather
from services.stores.images import ImageStore
from services.stores.records import Collection, CollectionMode, Counts, check_collection_name


class Collections:
    """Creates and lists collections; raises ServiceError."""

    def __init__(self, store: ImageStore, directory: EncoderDirectory) -> None:
        self._store = store
        self._directory = directory

    async def create(
        self,
        name: str,
        *,
        encoder: str,
        detector: str = "",
        mode: CollectionMode,
        index: str = "",
        display_name: str = "",
    ) -> Collection:
        """The collection as it was created, in the space of its encoder; the default one if none is named.

        A collection of objects takes the default or only detector if none is named. A collection of whole images may name
        one for queries that ask for `detect`.
        """
        check_collection_name(name)
        _check_display_name(display_name, "collection.display_name")
        entry = await image_encoder(self._directory, encoder, field="collection.encoder")
        if detector or mode is CollectionMode.OBJECTS:
            detector = (await self._directory.detector(detector)).info.name
        return await self._store.create(
            Collection(
                name=name,
                space=entry.info.space,
                encoder=entry.info.name,
                detector=detector,
                mode=mode,
                index=index,
                dimension=entry.info.dimension,
                create_time_s=time.time(),
                display_name=display_name,
            )
        )

    async def update(self, name: str, *, new_name: str, display_name: str | None) -> Collection:
        """The collection as it is called now; what is empty or None stays."""
        _check_display_name(display_name or "", "display_name")
        return await self._store.update(name, new_name=new_name, display_name=display_name)

    async def list(self) -> list[tuple[Collection, Counts | None]]:
        """All collections by name with their counts, None while a collection's records are being rebuilt."""
        collections = sorted(await self._store.collections(), key=lambda collection: collection.name)
        counted = await gather(*(self._counted(collection) for collection in collections))
        return [pair for pair in counted if pair is not None]

    def suggested_encoder(self, collection: Collection) -> str:
        """The default encoder, where that of the collection is not served any more as it was; else empty."""
        return self._directory.suggested_for(collection.encoder, collection.space)

    async def _counted(self, collection: Collection) -> tuple[Collection, Counts | None] | None:
        """None if the collection was dropped meanwhile."""
        try:
            return collection, await self._store.counts_or_none(collection.name)
        except NotFound:
            return None


def _check_display_name(text: str, field: str) -> None:
    """InvalidArgument unless a text can be shown as a name."""
    if len(text) > MAX_DISPLAY_NAME or not text.isprintable() or text != text.strip():
        raise InvalidArgument(f"{field}: at most {MAX_DISPLAY_NAME} printable characters, without spaces around them")


async def image_encoder(directory: EncoderDirectory, name: str, *, field: str) -> EncoderEntry:
    """The encoder of images called `name`, the default one if none is named; InvalidArgument names the field."""
    if not name:
        try:
            return await directory.default_encoder()
        except NotFound as error:
            raise InvalidArgument(f"{field}: {error.message}") from error
    encoder = await directory.encoder(name)
    if "image" not in encoder.info.modalities:
        modalities = " and ".join(sorted(encoder.info.modalities))
        raise InvalidArgument(f"{field}: {name!r} embeds {modalities}; choose one that embeds images")
    return encoder
