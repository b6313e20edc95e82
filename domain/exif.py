"""What a camera wrote about an image."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Self


@dataclass(frozen=True, slots=True)
class Exif:
    """Facts from an image's EXIF; None is what the camera did not write, or what was not kept.

    `taken` is the camera's local time as `2024-05-01T12:30:00`; the place is in degrees, north and east positive.
    """

    taken: str | None = None
    camera: str | None = None
    lens: str | None = None
    latitude: float | None = None
    longitude: float | None = None

    @property
    def known(self) -> dict[str, str | float]:
        """What is known, by name."""
        named = {field.name: getattr(self, field.name) for field in fields(self)}
        return {name: value for name, value in named.items() if value is not None}

    @classmethod
    def of(cls, known: Mapping[str, Any]) -> Self:
        """The facts that were stored by name; what later releases add is left out."""
        names = {field.name for field in fields(cls)}
        return cls(**{name: value for name, value in known.items() if name in names})


NO_EXIF = Exif()
DATE_FIELD = "taken"
