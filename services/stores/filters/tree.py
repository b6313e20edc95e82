"""What a filter demands of an image: a tree of conditions, which the parser makes and the engines' writer reads."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from typing import Literal

TEXT_FIELDS = frozenset({"label", "uri", "image_id"})
NUMBER_FIELDS = frozenset({"score", "width_px", "height_px"})
EXIF_TEXT_FIELDS = frozenset({"taken", "camera", "lens"})
EXIF_NUMBER_FIELDS = frozenset({"latitude", "longitude"})
BUILT_IN_FIELDS = TEXT_FIELDS | NUMBER_FIELDS | EXIF_TEXT_FIELDS | EXIF_NUMBER_FIELDS

Value = str | float | int | bool
Operator = Literal["in", "<", "<=", ">", ">=", "like", "has", "exists"]


@dataclass(frozen=True, slots=True)
class Field:
    """A path into the metadata or a built-in field, with its position in the text for error messages."""

    path: tuple[str, ...]
    position: int
    is_built_in: bool = False

    @property
    def is_column(self) -> bool:
        """Whether every row has the field; EXIF may be absent, like metadata."""
        return self.is_built_in and self.path[0] in TEXT_FIELDS | NUMBER_FIELDS

    def __str__(self) -> str:
        return ("$" if self.is_built_in else "") + ".".join(self.path)


@dataclass(frozen=True, slots=True)
class Condition:
    """What one field has to be: `values` has one value, for `in` several, and for `exists` none.

    `name = value` is `in` with a list of one, so that the two cannot disagree; the value of `like` is the prefix alone.
    """

    field: Field
    operator: Operator
    values: tuple[Value, ...] = ()


@dataclass(frozen=True, slots=True)
class Not:
    """`not term`; `name != value` is `not name = value`, and `name = null` is `not exists name`."""

    term: "Filter"


@dataclass(frozen=True, slots=True)
class Junction:
    """Two terms or more, all of which have to hold, or any."""

    word: Literal["and", "or"]
    terms: tuple["Filter", ...]


Filter = Condition | Not | Junction


def warnings_of(tree: Filter | None) -> tuple[str, ...]:
    """What the caller of a filter should know: plain names that were built-in fields in earlier releases."""
    names = [field.path[0] for field in _fields(tree) if not field.is_built_in and len(field.path) == 1]
    return tuple(
        f"filter: {name} is the metadata key {name}; for the built-in field write ${name}"
        for name in dict.fromkeys(names)
        if name in TEXT_FIELDS | NUMBER_FIELDS
    )


def _fields(tree: Filter | None) -> Iterator[Field]:
    match tree:
        case Condition(field):
            yield field
        case Not(term):
            yield from _fields(term)
        case Junction(_, terms):
            yield from chain.from_iterable(map(_fields, terms))
