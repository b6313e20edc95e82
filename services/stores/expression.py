"""A filter's tree as a Milvus expression that means the same on every engine.

Milvus Lite knows neither `not` nor `exists`, so negations are pushed down to the comparisons, and rows carry `kinds`:
the kind of value under each path of their metadata. No text of a caller gets into an expression except through `quote`.
"""

import re
from collections.abc import Sequence
from enum import StrEnum
from typing import Any

from rpc.errors import InvalidArgument
from services.stores.filter import AllOf, AnyOf, Comparison, Exists, Field, Filter, Membership, Not, Prefix, Value


class Engine(StrEnum):
    """What runs behind a Milvus URI."""

    LITE = "Milvus Lite"
    SERVER = "Milvus"


TEXT, NUMBER, TRUTH, OTHER = "text", "number", "truth", "other"
TEXT_FIELDS = frozenset({"label", "uri", "image_id"})
NUMBER_FIELDS = frozenset({"score", "width_px", "height_px"})

_ITSELF = "="  # no name of a filter can be this
_ALWAYS, _NEVER = "key != ''", "key == ''"
_OPPOSITE = {"==": "!=", "!=": "==", "<": ">=", ">=": "<", ">": "<=", "<=": ">"}


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
    """The kind of each value in the shape of the metadata; null is absent, an object says so under `_ITSELF`."""
    return {
        key: {**kinds_of(value), _ITSELF: OTHER} if isinstance(value, dict) else _kind(value)
        for key, value in metadata.items()
        if value is not None
    }


def joined(word: str, terms: Sequence[str]) -> str:
    """Terms joined with `and` or `or` as a balanced tree: both engines refuse or crawl over long chains."""
    if len(terms) == 1:
        return terms[0]
    middle = len(terms) // 2
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

    def write(self, tree: Filter, *, negated: bool) -> str:  # noqa: PLR0911 - one for each kind of node
        match tree:
            case Not(term):
                return self.write(term, negated=not negated)
            case AllOf(terms):
                return joined("or" if negated else "and", [self.write(term, negated=negated) for term in terms])
            case AnyOf(terms):
                return joined("and" if negated else "or", [self.write(term, negated=negated) for term in terms])
            case Exists(field):
                return self._exists(field, negated=negated)
            case Membership(field, values):
                return self._membership(field, values, negated=negated)
            case Prefix(field, prefix):
                return self._prefix(field, prefix, negated=negated)
            case Comparison(field, operator, value):
                return self._comparison(field, operator, value, negated=negated)

    def _comparison(self, field: Field, operator: str, value: Value, *, negated: bool) -> str:
        if operator == "!=":
            return self._comparison(field, "==", value, negated=not negated)
        if value is None:
            return self._exists(field, negated=not negated)
        term = f"{_operand(field, value)} {_OPPOSITE[operator] if negated else operator} {self._literal(value)}"
        return self._or_of_another_kind(field, value, term) if negated and operator != "==" else term

    def _or_of_another_kind(self, field: Field, value: Value, term: str) -> str:
        """The opposite of an order holds also for what cannot be ordered."""
        if _is_built_in(field):
            return term
        return f"({_kinds(field)} != '{_kind(value)}' or {term})"

    def _exists(self, field: Field, *, negated: bool) -> str:
        if _is_built_in(field):
            return _NEVER if negated else _ALWAYS
        word, operator, join = ("not in", "!=", "and") if negated else ("in", "==", "or")
        value = f"{_kinds(field)} {word} ['{TEXT}', '{NUMBER}', '{TRUTH}', '{OTHER}']"
        return f"({value} {join} {_kinds(field)}[\"{_ITSELF}\"] {operator} '{OTHER}')"

    def _membership(self, field: Field, values: Sequence[Value], *, negated: bool) -> str:
        """One list for each kind of value: engines want lists of one type."""
        word = "not in" if negated else "in"
        terms = []
        for kind in (TEXT, NUMBER, TRUTH):
            alike = [value for value in values if value is not None and _kind(value) == kind]
            if alike:
                terms.append(f"{_operand(field, alike[0])} {word} [{self._list(field, alike)}]")
        if None in values:
            terms.append(self._exists(field, negated=not negated))
        return joined("and" if negated else "or", terms)

    def _list(self, field: Field, values: Sequence[Value]) -> str:
        as_floats = _is_built_in(field) or any(isinstance(value, float) for value in values)
        return ", ".join(
            self._literal(float(value) if as_floats and _kind(value) == NUMBER else value)  # type: ignore[arg-type]
            for value in values
        )

    def _prefix(self, field: Field, prefix: str, *, negated: bool) -> str:
        """A range instead of `like`, in which `_` is a wildcard on one engine and a character on another."""
        operand = _operand(field, prefix)
        successor = _successor(prefix)
        bounds = [f"{operand} {'<' if negated else '>='} {self._literal(prefix)}"]
        if successor:
            bounds.append(f"{operand} {'>=' if negated else '<'} {self._literal(successor)}")
        term = joined("or" if negated else "and", bounds)
        return self._or_of_another_kind(field, prefix, term) if negated else term

    def _literal(self, value: Value) -> str:
        if isinstance(value, str):
            return quote(value, self._engine)
        if isinstance(value, bool):
            return "true" if value else "false"
        return repr(value)


def _operand(field: Field, value: Value) -> str:
    """The field to compare with `value`; InvalidArgument where a built-in is of another type."""
    if not _is_built_in(field):
        return "metadata" + _subscripts(field)
    kind = TEXT if field.path[0] in TEXT_FIELDS else NUMBER
    if _kind(value) != kind:
        raise InvalidArgument(f"filter: {field} is a {kind} at position {field.position}")
    return field.path[0]


def _kinds(field: Field) -> str:
    return "kinds" + _subscripts(field)


def _subscripts(field: Field) -> str:
    return "".join(f'["{key}"]' for key in field.path)


def _is_built_in(field: Field) -> bool:
    return len(field.path) == 1 and field.path[0] in TEXT_FIELDS | NUMBER_FIELDS


def _successor(prefix: str) -> str:
    """The smallest text above all texts that start with `prefix`; empty where there is none."""
    for end in range(len(prefix), 0, -1):
        code = ord(prefix[end - 1]) + 1
        if code <= 0x10FFFF:
            return prefix[: end - 1] + chr(0xE000 if 0xD800 <= code <= 0xDFFF else code)
    return ""
