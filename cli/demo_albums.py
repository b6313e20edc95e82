"""The images of the demo: photos, and drawn scenes with their truth."""

import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from google.protobuf.struct_pb2 import Struct

from rpc.metadata import struct_of_json

_HERE = Path(__file__).parent


@dataclass(frozen=True, slots=True)
class Album:
    """A folder of images and what is known of them, line by line of its JSON lines: at least file and metadata.

    Lines with `is_query` are of images that are not ingested, but asked with.
    """

    folder: Path
    about: Sequence[Mapping[str, Any]]

    @classmethod
    def copied(cls, source: Path, target: Path) -> Self:
        """Copy an album that ships into the data folder, from where hits are shown and opened, and read it there."""
        shutil.copytree(source, target, dirs_exist_ok=True)
        (listing,) = target.glob("*.jsonl")
        return cls(target.resolve(), [json.loads(line) for line in listing.read_text(encoding="utf-8").splitlines()])

    @property
    def ingested(self) -> list[Mapping[str, Any]]:
        """The lines of the images that are ingested, in their order."""
        return [entry for entry in self.about if not entry.get("is_query")]

    @property
    def files(self) -> list[Path]:
        """The images that are ingested, in their order."""
        return [self.folder / entry["file"] for entry in self.ingested]

    @property
    def metadata(self) -> dict[str, Struct]:
        """What is known of them, by path."""
        return {str(self.folder / entry["file"]): struct_of_json(entry["metadata"]) for entry in self.ingested}

    def showing(self, **metadata: str) -> set[str]:
        """The names of the files with just these metadata."""
        return {
            entry["file"]
            for entry in self.ingested
            if all(entry["metadata"].get(key) == value for key, value in metadata.items())
        }


@dataclass(frozen=True, slots=True)
class DemoAlbums:
    """Photos that people took, and drawn scenes with their truth (`python -m world.gallery --out cli/gallery` draws them)."""

    photos: Album
    scenes: Album

    @classmethod
    def copied(cls, folder: Path) -> Self:
        """Copy both into the data folder."""
        return cls(
            photos=Album.copied(_HERE / "photos", folder / "photos"),
            scenes=Album.copied(_HERE / "gallery", folder / "scenes"),
        )
