"""What a filter demands of an image: a tree of conditions, which the parser makes and the engines' writer reads."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

TEXT_FIELDS = frozenset({"label", "uri", "image_id"})
NUMBER_FIELDS = frozenset({"score", "width_px", "height_px"})

Value = str | float | int | bool
Order = Literal["<", "<=", ">", ">="]


@dataclass(frozen=True, slots=True)
class Field:
    """A path into the metadata or a built-in field, with its place in the text for error messages."""

    path: tuple[str, ...]
    position: int
    is_built_in: bool = False

    def __str__(self) -> str:
        return ("$" if self.is_built_in else "") + ".".join(self.path)


@dataclass(frozen=True, slots=True)
class Membership:
    """`name in (values)`; `name = value` is a membership in a list of one, so that the two cannot disagree."""

    field: Field
    values: tuple[Value, ...]


@dataclass(frozen=True, slots=True)
class Comparison:
    """`name < value` and the other orders."""

    field: Field
    operator: Order
    value: Value


@dataclass(frozen=True, slots=True)
class Prefix:
    """`name like "prefix%"`."""

    field: Field
    prefix: str


@dataclass(frozen=True, slots=True)
class Has:
    """`name has value`: a list that contains the value."""

    field: Field
    value: Value


@dataclass(frozen=True, slots=True)
class Exists:
    """`exists name`."""

    field: Field


@dataclass(frozen=True, slots=True)
class Not:
    """`not term`; `name != value` is `not name = value`, and `name = null` is `not exists name`."""

    term: "Filter"


@dataclass(frozen=True, slots=True)
class AllOf:
    """Terms joined with `and`, two or more."""

    terms: tuple["Filter", ...]


@dataclass(frozen=True, slots=True)
class AnyOf:
    """Terms joined with `or`, two or more."""

    terms: tuple["Filter", ...]


Leaf = Membership | Comparison | Prefix | Has | Exists
Filter = Leaf | Not | AllOf | AnyOf


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
        case None:
            return
        case Not(term):
            yield from _fields(term)
        case AllOf(terms) | AnyOf(terms):
            for term in terms:
                yield from _fields(term)
        case _:
            yield tree.field
