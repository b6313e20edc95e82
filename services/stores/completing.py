"""What a write leaves out is taken from the live version: metadata that are not sent, embeddings of unchanged bytes."""

import time
from collections import defaultdict
from collections.abc import Iterable, Mapping

from rpc.deadline import Deadline
from rpc.errors import Aborted, InvalidArgument, ServiceError, Unavailable
from services.stores.catalog import RedisCatalog
from services.stores.drafts import Prepared, prepare
from services.stores.milvus import MilvusIndex, Row
from services.stores.records import Collection, ImageRecord, NewImage, NewMetadata, StoredImage
from services.stores.rows import EMBEDDING, REGION_FIELDS, RowKey, stored_image, version_keys

Change = NewImage | NewMetadata


class Completer:
    """Makes whole images of changes, each based on the live version that it was completed from."""

    def __init__(self, index: MilvusIndex, catalog: RedisCatalog) -> None:
        self._index = index
        self._catalog = catalog

    async def complete(
        self, collection: Collection, changes: Mapping[str, Change], deadline: Deadline
    ) -> dict[str, Prepared | ServiceError]:
        """By image_id the image to write, or why it cannot be written."""
        partial = [image_id for image_id, change in changes.items() if not _is_whole(change)]
        records = await self._catalog.records(collection, partial, deadline)
        renamed = [image_id for image_id, change in changes.items() if isinstance(change, NewMetadata)]
        stored = await self._stored(collection, [records[each] for each in renamed if each in records], deadline)
        completed: dict[str, Prepared | ServiceError] = {}
        for image_id, change in changes.items():
            record = records.get(image_id)
            based_on = None if _is_whole(change) else record.version if record else 0
            try:
                image = _completed(change, record, stored.get(image_id))
                completed[image_id] = prepare(image, collection.dimension, time.time(), based_on)
            except (Aborted, InvalidArgument, Unavailable) as error:
                completed[image_id] = error
        return completed

    async def _stored(
        self, collection: Collection, records: Iterable[ImageRecord], deadline: Deadline
    ) -> dict[str, StoredImage]:
        """The images with their embeddings, those whose rows are all there."""
        by_id = {record.image_id: record for record in records}
        keys = [key for each, it in by_id.items() for key in version_keys(each, it.version, it.region_count)]
        rows: dict[str, list[Row]] = defaultdict(list)
        for row in await self._index.rows(collection.name, keys, ["key", *REGION_FIELDS, EMBEDDING], deadline):
            rows[RowKey.parse(row["key"]).image_id].append(row)
        return {
            image_id: stored_image(by_id[image_id], found)
            for image_id, found in rows.items()
            if len(found) == by_id[image_id].region_count
        }


def _is_whole(change: Change) -> bool:
    return isinstance(change, NewImage) and change.metadata is not None


def _completed(change: Change, record: ImageRecord | None, stored: StoredImage | None) -> NewImage:
    if isinstance(change, NewMetadata):
        return _with_metadata(change, record, stored)
    if change.metadata is not None:
        return change
    return change.with_metadata(record.metadata if record else {})


def _with_metadata(change: NewMetadata, record: ImageRecord | None, stored: StoredImage | None) -> NewImage:
    if record is None or record.sha256 != change.sha256:
        raise Aborted("the image changed meanwhile; send it again")
    if stored is None:
        raise Unavailable("the stored embeddings of this image cannot be read now; try again")
    return NewImage(
        uri=record.uri,
        sha256=record.sha256,
        width_px=record.width_px,
        height_px=record.height_px,
        metadata=change.metadata,
        regions=stored.regions,
        embeddings=stored.embeddings,
        decoder_revision=record.decoder_revision,
    )
