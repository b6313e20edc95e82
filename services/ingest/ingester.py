"""Ingester: opens a stream into a collection with the encoder and detector that belong to it."""

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing

from rpc.directory import DetectorEntry, EncoderDirectory
from rpc.errors import NotFound, Unavailable
from services.ingest.admission import Admission
from services.ingest.housekeeper import Housekeeper
from services.ingest.item import Failed, Item, Outcome
from services.ingest.pipeline import Pipeline
from services.ingest.settings import IngestSettings
from services.ingest.stream import IngestStream
from services.stores.images import ImageStore
from services.stores.records import Collection, CollectionMode
from sources.uploads import Uploads


class Ingester:
    """Adds pictures to collections."""

    def __init__(
        self,
        *,
        store: ImageStore,
        directory: EncoderDirectory,
        admission: Admission,
        housekeeper: Housekeeper,
        settings: IngestSettings,
        uploads: Uploads | None = None,
    ) -> None:
        self._store = store
        self._directory = directory
        self._admission = admission
        self._housekeeper = housekeeper
        self._settings = settings
        self._uploads = uploads

    async def ingest(self, collection_name: str, items: AsyncIterator[Item | Failed]) -> AsyncGenerator[Outcome, None]:
        """One outcome for each item, in order of completion; raises ServiceError where no item can be taken.

        Use it inside `aclosing`: closing cancels what still runs, and what was not answered may or may not be there.
        """
        async with await self._pipeline(collection_name) as pipeline:
            stream = IngestStream(
                collection_name,
                admission=self._admission,
                pipeline=pipeline,
                max_items=self._settings.items_in_flight,
                item_time_s=self._settings.item_time_s,
            )
            async with aclosing(stream.outcomes(items)) as outcomes:
                async for outcome in outcomes:
                    self._housekeeper.note(collection_name, outcome)
                    yield outcome

    async def _pipeline(self, collection_name: str) -> Pipeline:
        collection = await self._store.get(collection_name)
        try:
            encoder = await self._directory.checked(collection.encoder, collection.space)
            detector = await self._detector(collection)
        except NotFound as error:
            raise Unavailable(f"collection {collection_name!r} cannot be filled now: {error}") from error
        return Pipeline(
            collection,
            encoder=encoder,
            detector=detector,
            store=self._store,
            settings=self._settings,
            uploads=self._uploads,
        )

    async def _detector(self, collection: Collection) -> DetectorEntry | None:
        if collection.mode is not CollectionMode.OBJECTS:
            return None
        return await self._directory.detector(collection.detector)
