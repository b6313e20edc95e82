"""The folder of a backup, which is complete once it has a manifest.

manifest.json                       what is in it, with the SHA-256 of every file of a collection
collections/NAME/images.jsonl       an image a line: its record and its regions
collections/NAME/embeddings.f32     float32, little-endian, a row of D numbers for each region, in the same order
uploads/ab/ab12…                    kept files, by the SHA-256 of their bytes
"""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import orjson

from domain.detection import Detection
from domain.exif import Exif
from rpc.errors import InvalidArgument
from services.stores.records import Collection, CollectionMode, ImageRecord, StoredImage, check_collection_name

FORMAT = 1
MANIFEST = "manifest.json"
IMAGES = "images.jsonl"
EMBEDDINGS = "embeddings.f32"
UPLOADS = "uploads"
PAGE_SIZE = 256

_RECORD_FIELDS = (
    *("image_id", "uri", "sha256", "version", "width_px", "height_px"),
    *("metadata", "update_time_s", "decoder_revision"),
)


@dataclass(frozen=True, slots=True)
class SavedCollection:
    """A collection of a backup; `sha256` has the hashes of its files by their names."""

    collection: Collection
    image_count: int
    region_count: int
    sha256: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a backup has; `key` is new for each, and times are ISO 8601 in UTC."""

    key: str
    version: str
    begin_time: str
    end_time: str
    collections: tuple[SavedCollection, ...]
    upload_count: int


class CollectionWriter:
    """Appends the images of one collection."""

    def __init__(self, folder: Path, collection: Collection) -> None:
        self.saved = SavedCollection(collection, 0, 0, {})
        self._files = {name: _HashedFile((folder / name).open("xb")) for name in (IMAGES, EMBEDDINGS)}

    def add(self, images: Sequence[StoredImage]) -> None:
        """Append some images."""
        for image in images:
            self._files[IMAGES].write(orjson.dumps(_line_of(image)) + b"\n")
            self._files[EMBEDDINGS].write(np.ascontiguousarray(image.embeddings, dtype="<f4").tobytes())
        self.saved = replace(
            self.saved,
            image_count=self.saved.image_count + len(images),
            region_count=self.saved.region_count + sum(len(image.regions) for image in images),
        )

    def close(self) -> None:
        """Close the files, and note their hashes."""
        self.saved = replace(self.saved, sha256={name: file.close() for name, file in self._files.items()})


class BackupFolder:
    """A backup that is written or read."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.uploads = path / UPLOADS

    def begin(self) -> None:
        """Make the folder; InvalidArgument where there is something in it."""
        try:
            self.path.mkdir(parents=True, exist_ok=True, mode=0o700)
            is_empty = not any(self.path.iterdir())
        except OSError as error:
            raise InvalidArgument(f"{self.path} cannot be written ({error.strerror}): name another folder") from error
        if not is_empty:
            raise InvalidArgument(f"{self.path} is not empty: name a new folder for the backup")

    @contextmanager
    def writing(self, collection: Collection) -> Iterator[CollectionWriter]:
        """Write one collection inside the block."""
        folder = self._of(collection.name)
        folder.mkdir(parents=True)
        writer = CollectionWriter(folder, collection)
        try:
            yield writer
        finally:
            writer.close()

    def end(self, manifest: Manifest) -> None:
        """Write the manifest, with which the backup is complete."""
        unfinished = self.path / f"{MANIFEST}.new"
        unfinished.write_bytes(orjson.dumps({"format": FORMAT, **asdict(manifest)}, option=orjson.OPT_INDENT_2) + b"\n")
        unfinished.replace(self.path / MANIFEST)

    def manifest(self) -> Manifest:
        """What the backup has; InvalidArgument where it is not complete or cannot be read."""
        try:
            fields = orjson.loads((self.path / MANIFEST).read_bytes())
            if fields.pop("format") != FORMAT:
                raise InvalidArgument(f"{self.path} was written by a later version of Fovea: restore it with that one")
            return Manifest(**{**fields, "collections": tuple(map(_saved_collection, fields["collections"]))})
        except FileNotFoundError as error:
            raise InvalidArgument(f"{self.path} is not a complete backup: it has no {MANIFEST}") from error
        except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
            raise InvalidArgument(f"{self.path / MANIFEST} cannot be read: {error}") from error

    def verify(self, saved: SavedCollection) -> None:
        """InvalidArgument where a file of a collection is not as it was written."""
        for name, sha256 in saved.sha256.items():
            path = self._of(saved.collection.name) / name
            try:
                with path.open("rb") as file:
                    found = hashlib.file_digest(file, "sha256").hexdigest()
            except OSError as error:
                raise InvalidArgument(f"{path} cannot be read: {error.strerror}") from error
            if found != sha256:
                raise InvalidArgument(f"{path} is damaged: its SHA-256 is not that of the manifest")

    def images(self, saved: SavedCollection) -> Iterator[list[StoredImage]]:
        """The images of a collection in pages; InvalidArgument where the files do not fit each other."""
        folder, dimension, page = self._of(saved.collection.name), saved.collection.dimension, []
        with (folder / IMAGES).open("rb") as lines, (folder / EMBEDDINGS).open("rb") as embeddings:
            for line in lines:
                page.append(_image_of(line, embeddings, dimension))
                if len(page) == PAGE_SIZE:
                    yield page
                    page = []
        if page:
            yield page

    def _of(self, name: str) -> Path:
        check_collection_name(name)  # it becomes a path
        return self.path / "collections" / name


class _HashedFile:
    """A file that is written, with the hash of its bytes."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._hash = hashlib.sha256()

    def write(self, data: bytes) -> None:
        self._file.write(data)
        self._hash.update(data)

    def close(self) -> str:
        self._file.close()
        return self._hash.hexdigest()


def _line_of(image: StoredImage) -> dict[str, Any]:
    record = image.record
    fields = {name: getattr(record, name) for name in _RECORD_FIELDS}
    return fields | {"exif": record.exif.known, "regions": [asdict(region) for region in image.regions]}


def _image_of(line: bytes, embeddings: BinaryIO, dimension: int) -> StoredImage:
    try:
        fields = orjson.loads(line)
        regions = tuple(Detection(**{**each, "box": tuple(each["box"])}) for each in fields.pop("regions"))
        exif = Exif.of(fields.pop("exif"))
        record = ImageRecord(**fields, exif=exif, region_count=len(regions))
        data = embeddings.read(4 * dimension * len(regions))
        return StoredImage(record, regions, np.frombuffer(data, dtype="<f4").reshape(len(regions), dimension))
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise InvalidArgument(f"the backup has an image that cannot be read: {line[:80]!r}") from error


def _saved_collection(fields: Mapping[str, Any]) -> SavedCollection:
    collection = fields["collection"]
    definition = Collection(**{**collection, "mode": CollectionMode(collection["mode"])})
    check_collection_name(definition.name)
    return SavedCollection(**{**fields, "collection": definition})
