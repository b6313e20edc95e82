"""A filter's tree as a Milvus expression that means the same on every engine.

Milvus Lite knows neither `not` nor `exists`, so negations are pushed down to the comparisons, and rows carry `kinds`:
the kind of value under each path of their metadata. No text of a caller gets into an expression except through `quote`.
"""

import re
import unicodedata
from collections.abc import Sequence
from enum import StrEnum
from typing import Any

import orjson

from domain.exif import Exif
from domain.limits import MAX_INTEGER
from rpc.errors import InvalidArgument
from services.stores.filters.tree import (
    EXIF_TEXT_FIELDS,
    TEXT_FIELDS,
    Condition,
    Field,
    Filter,
    Junction,
    Not,
    Operator,
    Value,
)


class Engine(StrEnum):
    """What runs behind a Milvus URI."""

    LITE = "Milvus Lite"
    SERVER = "Milvus"


TEXT, NUMBER, TRUTH, OTHER = _KINDS = ("text", "number", "truth", "other")

_ITSELF = "="  # the key in `kinds` under which an object or a list tells its own kind
_LISTED = 1
# Under this key, which no key of metadata becomes, `kinds` holds what is not metadata, see stores/milvus/rows.py.
OWN_KEY = _ITSELF
EXIF_KEY, _EXIF_KINDS_KEY = "exif", "exif_kinds"
_ALWAYS, _NEVER = "key != ''", "key == ''"
_OPPOSITE = {"<": ">=", ">=": "<", ">": "<=", "<=": ">"}


def expression_of(tree: Filter | None, engine: Engine) -> str:
    """The expression that holds for exactly the rows that `tree` matches; empty where there is no filter."""
    return "" if tree is None else _Writer(engine).write(tree, negated=False)


def quote(text: str, engine: Engine) -> str:
    """A string literal that the engine reads as exactly `text`."""
    escaped = text.replace("\\", "\\\\").replace("'", "\\'")
    if engine is Engine.SERVER:
        return "'" + escaped.replace("\n", "\\n").replace("\r", "\\r").replace("\t", "\\t") + "'"
    if re.search(r"\r(?!\n)", escaped):
        raise InvalidArgument("filter: Milvus Lite cannot compare a text that holds a carriage return")
    # Lite takes the character behind a backslash as it is, and a raw line end only behind a backslash.
    return "'" + re.sub(r"\r?\n", lambda line_end: "\\" + line_end.group(), escaped) + "'"


def kinds_of(metadata: dict[str, Any]) -> dict[str, Any]:
    """The kind of each value in the shape of the metadata; null is absent.

    Objects and lists say so under `_ITSELF`, and lists name their items, because Milvus Lite cannot negate `json_contains`.
    """
    return {_kinds_key(key): _kinds_under(value) for key, value in metadata.items() if value is not None}


def exif_column(exif: Exif) -> dict[str, Any]:
    """EXIF beside the kind of each value: filtered as metadata are."""
    return {EXIF_KEY: exif.known, _EXIF_KINDS_KEY: {name: _kind(value) for name, value in exif.known.items()}}


def _kinds_under(value: object) -> Any:
    if isinstance(value, dict):
        return {**kinds_of(value), _ITSELF: OTHER}
    if isinstance(value, list):
        items = [item for item in value if isinstance(item, str | float | int)]
        return {**{_item_key(item): _LISTED for item in items}, _ITSELF: OTHER}
    return _kind(value)


def _kinds_key(key: str) -> str:
    """A key of the metadata as it stands in `kinds`, never `_ITSELF`."""
    return key + _ITSELF if key and not key.strip(_ITSELF) else key


def _item_key(item: Value) -> str:
    """The key that stands for an item of a list: a quoted text, or a number or a truth as it is written in Python."""
    return f'"{item}' if isinstance(item, str) else repr(item if isinstance(item, bool) else item + 0.0)


def joined(word: str, terms: Sequence[str], *, negated: bool = False) -> str:
    """Terms joined with `and` or `or`, where they are negated with the other word (De Morgan)."""
    if len(terms) == 1:
        return terms[0]
    if negated:
        word = "or" if word == "and" else "and"
    middle = len(terms) // 2  # a balanced tree: both engines refuse long chains or are slow with them
    return f"({joined(word, terms[:middle])} {word} {joined(word, terms[middle:])})"


def _kind(value: object) -> str:
    if isinstance(value, str):
        return TEXT
    if isinstance(value, bool):
        return TRUTH
    return NUMBER if isinstance(value, int | float) else OTHER


class _Writer:
    """Writes a tree, or its opposite."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def write(self, tree: Filter, *, negated: bool) -> str:
        match tree:
            case Not(term):
                return self.write(term, negated=not negated)
            case Junction(word, terms):
                return joined(word, [self.write(term, negated=negated) for term in terms], negated=negated)
            case Condition(field, operator, values):
                spellings = [self._condition(each, operator, values, negated=negated) for each in _spellings(field)]
                return joined("or", spellings, negated=negated)

    def _condition(self, field: Field, operator: Operator, values: Sequence[Value], *, negated: bool) -> str:
        """A condition on one field; `kinds` keeps a key of digits from being taken as a position in a list."""
        term = self._term(field, operator, values, negated=negated)
        if operator == "exists" or not any(key.isdigit() for key in field.path[1:]):
            return term
        return joined("and", [self._exists(field, negated=negated), term], negated=negated)

    def _term(self, field: Field, operator: Operator, values: Sequence[Value], *, negated: bool) -> str:
        match operator:
            case "in":
                return self._membership(field, values, negated=negated)
            case "like":
                forms = [self._prefix(field, str(form), negated=negated) for form in _forms(values[0])]
                return joined("or", forms, negated=negated)
            case "has":
                return self._has(field, values[0], negated=negated)
            case "exists":
                return self._exists(field, negated=negated)
            case _:
                return self._order(field, operator, values[0], negated=negated)

    def _order(self, field: Field, operator: str, value: Value, *, negated: bool) -> str:
        """A comparison; its opposite holds also for a value of another kind, which cannot be ordered."""
        sign = _OPPOSITE[operator] if negated else operator
        term = f"{_operand(field, value)} {sign} {self._literal(value)}"
        return f"({_kinds(field)} != '{_kind(value)}' or {term})" if negated and not field.is_column else term

    def _exists(self, field: Field, *, negated: bool) -> str:
        if field.is_column:
            return _NEVER if negated else _ALWAYS
        word, operator, join = ("not in", "!=", "and") if negated else ("in", "==", "or")
        value = f"{_kinds(field)} {word} {list(_KINDS)}"
        return f"({value} {join} {_kinds(field)}[\"{_ITSELF}\"] {operator} '{OTHER}')"

    def _membership(self, field: Field, values: Sequence[Value], *, negated: bool) -> str:
        """One list for each kind of value: engines want lists of one type."""
        word = "not in" if negated else "in"
        kinds = [[form for value in values if _kind(value) == kind for form in _forms(value)] for kind in _KINDS]
        terms = [f"{_operand(field, alike[0])} {word} [{self._list(field, alike)}]" for alike in kinds if alike]
        return joined("or", terms, negated=negated)

    def _list(self, field: Field, values: Sequence[Value]) -> str:
        as_floats = field.is_built_in or any(isinstance(value, float) for value in values)
        numbers = [float(value) if as_floats and _kind(value) == NUMBER else value for value in values]
        return ", ".join(map(self._literal, numbers))

    def _prefix(self, field: Field, prefix: str, *, negated: bool) -> str:
        """A range instead of `like`, in which `_` is a wildcard on one engine and a character on another."""
        bounds = [self._order(field, ">=", prefix, negated=negated)]
        if successor := _successor(prefix):
            bounds.append(self._order(field, "<", successor, negated=negated))
        return joined("and", bounds, negated=negated)

    def _has(self, field: Field, value: Value, *, negated: bool) -> str:
        """`json_contains`, which finds a number only in the form, integer or not, in which it was stored."""
        forms = _forms(value)
        if negated and self._engine is Engine.LITE:
            # Rows of earlier releases do not name the items of a list: they are left out.
            items = [f"{_kinds(field)}[{_key(_item_key(form))}] != {_LISTED}" for form in forms]
            return joined("and", [f"{_kinds(field)} != '{OTHER}'", *items])
        if _kind(value) == NUMBER:
            number = float(value)
            forms = (number, int(number)) if number.is_integer() and abs(number) <= MAX_INTEGER else (number,)
        contains = [f"json_contains(metadata{_subscripts(field.path)}, {self._literal(form)})" for form in forms]
        either = joined("or", contains)
        return f"not ({either})" if negated else either

    def _literal(self, value: Value) -> str:
        if isinstance(value, str):
            return quote(value, self._engine)
        if isinstance(value, bool):
            return "true" if value else "false"
        return repr(value)


def _operand(field: Field, value: Value) -> str:
    """The field to compare with `value`; InvalidArgument where a built-in is of another type."""
    if not field.is_built_in:
        return "metadata" + _subscripts(field.path)
    kind = TEXT if field.path[0] in TEXT_FIELDS | EXIF_TEXT_FIELDS else NUMBER
    if _kind(value) != kind:
        raise InvalidArgument(f"filter: {field} is a {kind} at position {field.position}")
    return field.path[0] if field.is_column else "kinds" + _subscripts((OWN_KEY, EXIF_KEY, *field.path))


def _kinds(field: Field) -> str:
    if field.is_built_in:
        return "kinds" + _subscripts((OWN_KEY, _EXIF_KINDS_KEY, *field.path))
    return "kinds" + _subscripts([_kinds_key(key) for key in field.path])


def _subscripts(path: Sequence[str]) -> str:
    return "".join(f"[{_key(key)}]" for key in path)


def _key(key: str) -> str:
    """A key as both engines compare it: byte for byte with the stored JSON, which orjson wrote."""
    return orjson.dumps(key).decode()


def _spellings(field: Field) -> Sequence[Field]:
    """The field, and the one whose keys are in decomposed form, as earlier releases stored what they were sent."""
    decomposed = tuple(unicodedata.normalize("NFD", key) for key in field.path)
    return [field] if decomposed == field.path else [field, Field(decomposed, field.position)]


def _forms(value: Value) -> Sequence[Value]:
    """A value as it was written, a text also composed and decomposed: rows of earlier releases have any of these forms."""
    if not isinstance(value, str):
        return [value]
    return list(dict.fromkeys([value, *(unicodedata.normalize(form, value) for form in ("NFC", "NFD"))]))


def _successor(prefix: str) -> str:
    """The smallest text above all texts that start with `prefix`; empty where there is none."""
    for end in range(len(prefix), 0, -1):
        code = ord(prefix[end - 1]) + 1
        if code <= 0x10FFFF:
            return prefix[: end - 1] + chr(0xE000 if 0xD800 <= code <= 0xDFFF else code)
    return ""
