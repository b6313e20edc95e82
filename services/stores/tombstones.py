"""Versions that are to be deleted, as Redis keeps them: "version:region_count[:until_ms],...", see scripts.py."""

from collections.abc import Iterable
from dataclasses import dataclass

from services.stores.rows import version_keys


@dataclass(frozen=True, slots=True)
class Version:
    """A version of an image, by which its rows are known."""

    image_id: str
    number: int
    region_count: int

    @property
    def keys(self) -> list[str]:
        """The keys of its rows."""
        return version_keys(self.image_id, self.number, self.region_count)


def tombstones_of(dead: Iterable[Version], deleted_to: int, quarantine_ms: int) -> str:
    """The tombstones of versions whose rows are all written, and of a deletion, 0 for none."""
    texts = [f"{version.number}:{version.region_count}" for version in dead]
    deletion = [f"{deleted_to}:0:{deleted_to + quarantine_ms}"] if deleted_to else []
    return ",".join(texts + deletion)


def versions_in(image_id: str, tombstones: str) -> list[Version]:
    """The versions that tombstones name."""
    numbers = (text.split(":") for text in tombstones.split(",") if text)
    return [Version(image_id, int(number), int(region_count)) for number, region_count, *_ in numbers]


def deleted_to(image_id: str, tombstones: str) -> int:
    """The version up to which all rows are to be deleted, known or not; 0 where no deletion is among them."""
    versions = versions_in(image_id, tombstones)
    return max((version.number for version in versions if version.region_count == 0), default=0)
