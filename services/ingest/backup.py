"""`python -m services.ingest.backup save|restore FOLDER`: collections and kept files into a folder, and back.

It takes the settings of the ingest process, runs beside it or without it, and prints what it did as JSON. `fovea backup`
and `fovea restore` start it.
"""

import argparse
import asyncio
import hashlib
import importlib.metadata
import json
import secrets
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rpc.environment import read_settings
from rpc.errors import AlreadyExists, Internal, InvalidArgument, NotFound, ServiceError
from services.ingest.backup_folder import BackupFolder, Manifest, SavedCollection
from services.ingest.settings import IngestSettings
from services.stores.images import ImageStore
from services.stores.records import Collection
from sources.errors import MissingSourceError, SourceError
from sources.uploads import Uploads


@dataclass
class BackupReport:
    """What was done; `damaged` and `lost_files` are what could not be saved or restored."""

    collections: list[dict[str, Any]] = field(default_factory=list)
    upload_count: int = 0
    damaged: list[str] = field(default_factory=list)
    lost_files: list[str] = field(default_factory=list)

    @property
    def is_complete(self) -> bool:
        """Whether nothing was left out."""
        return not (self.damaged or self.lost_files)


class Backup:
    """Saves collections into a folder and restores them; `uploads` is None where files are not kept."""

    def __init__(self, store: ImageStore, uploads: Uploads | None, folder: BackupFolder) -> None:
        self._store = store
        self._uploads = uploads
        self._folder = folder

    async def save(self, names: Sequence[str] = ()) -> BackupReport:
        """Save these collections, or all; InvalidArgument where the folder is not empty."""
        report, begin_time = BackupReport(), _now()
        collections = [await self._store.get(name) for name in names] or await self._store.collections()
        await asyncio.to_thread(self._folder.begin)
        saved = [await self._save(collection, report) for collection in collections]
        version = importlib.metadata.version("fovea")
        manifest = Manifest(secrets.token_hex(8), version, begin_time, _now(), tuple(saved), report.upload_count)
        await asyncio.to_thread(self._folder.end, manifest)
        return report

    async def restore(self, names: Sequence[str] = ()) -> BackupReport:
        """Restore these collections of a backup, or all; AlreadyExists where one is there.

        Each is written under a name of its own and gets its right one at its end, so that no search takes a part for
        the whole. A restore that ended early goes on when it is started again.
        """
        report, manifest = BackupReport(), await asyncio.to_thread(self._folder.manifest)
        chosen = [saved for saved in manifest.collections if not names or saved.collection.name in names]
        if unknown := set(names) - {saved.collection.name for saved in chosen}:
            raise NotFound(f"the backup has no collection {min(unknown)}")
        taken = {collection.name for collection in await self._store.collections()}
        if known := [saved.collection.name for saved in chosen if saved.collection.name in taken]:
            raise AlreadyExists(f"the collection {known[0]} exists; delete it, or name those to restore")
        for saved in chosen:
            await asyncio.to_thread(self._folder.verify, saved)
        for saved in chosen:
            await self._restore(saved, manifest.key, report)
        return report

    async def _save(self, collection: Collection, report: BackupReport) -> SavedCollection:
        with self._folder.writing(collection) as writer:
            async for page in self._store.backups.pages(collection.name):
                await asyncio.to_thread(writer.add, page.images)
                sha256s = {image.record.sha256 for image in page.images}
                await asyncio.to_thread(self._copy, self._uploads, Uploads(self._folder.uploads), sha256s, report)
                report.damaged += page.damaged
        report.collections.append(_line(writer.saved))
        return writer.saved

    async def _restore(self, saved: SavedCollection, key: str, report: BackupReport) -> None:
        definition = saved.collection
        unfinished = f"restoring_{key}_{hashlib.sha256(definition.name.encode()).hexdigest()[:8]}"
        await self._create(replace(definition, name=unfinished, stored_as="", generation="", display_name=""))
        for page in self._folder.images(saved):
            await self._store.backups.write(unfinished, page)
        counts = await self._store.backups.finish(unfinished)
        if (counts.image_count, counts.row_count) != (saved.image_count, saved.region_count):
            missing = f"{counts.image_count} of {saved.image_count} images of {definition.name} were restored"
            raise Internal(f"{missing}: delete the collection {unfinished}, and restore again")
        # Behind the records, because the cleanup of uploads removes what no image has.
        for page in self._folder.images(saved):
            sha256s = {image.record.sha256 for image in page}
            await asyncio.to_thread(self._copy, Uploads(self._folder.uploads), self._uploads, sha256s, report)
        await self._store.update(unfinished, new_name=definition.name, display_name=definition.display_name)
        report.collections.append(_line(saved))

    async def _create(self, collection: Collection) -> None:
        """Create a collection with its index, or with one by its size where the engine has no such one, unless it is there."""
        index = "" if collection.index_by_size else collection.index
        collection = replace(collection, index=index, index_by_size=False)
        try:
            await self._store.create(collection)
        except AlreadyExists:  # by a restore that ended early
            return
        except InvalidArgument:
            await self._store.create(replace(collection, index=""))

    def _copy(self, source: Uploads | None, target: Uploads | None, sha256s: set[str], report: BackupReport) -> None:
        """Copy the files that are kept of these, and count them."""
        if source is None or target is None:
            return
        for sha256 in sorted(sha256s):
            if source.has(sha256) and not target.has(sha256):
                try:
                    data = source.read(sha256)
                except MissingSourceError:  # its image was deleted meanwhile
                    continue
                if hashlib.sha256(data).hexdigest() != sha256:
                    report.lost_files.append(sha256)
                    continue
                target.keep(sha256, data)
                report.upload_count += 1


def _line(saved: SavedCollection) -> dict[str, Any]:
    return {"collection": saved.collection.name, "images": saved.image_count, "regions": saved.region_count}


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m services.ingest.backup")
    parser.add_argument("step", choices=("save", "restore"))
    parser.add_argument("folder", type=Path)
    parser.add_argument("collections", nargs="*", help="default: all")
    return parser.parse_args()


async def _main(settings: IngestSettings, arguments: argparse.Namespace) -> BackupReport:
    store = await ImageStore.open(settings.milvus_uri, settings.redis_url)
    try:
        uploads = Uploads(settings.uploads) if settings.uploads else None
        backup = Backup(store, uploads, BackupFolder(arguments.folder.resolve()))
        run = backup.save if arguments.step == "save" else backup.restore
        return await run(arguments.collections)
    finally:
        await store.close()


if __name__ == "__main__":
    arguments = _arguments()
    try:
        report = asyncio.run(_main(read_settings(IngestSettings), arguments))
    except (ServiceError, SourceError, OSError) as error:
        sys.exit(str(error))
    print(json.dumps(vars(report)))  # noqa: T201 - this is the command's output
    sys.exit(0 if report.is_complete else 1)
