"""The filter language: a recursive descent from text to a tree.

    expression := conjunction { "or" conjunction }
    conjunction := term { "and" term }
    term := "not" term | "(" expression ")" | "exists" name | name comparison
    comparison := ("=" | "==" | "!=" | "<" | "<=" | ">" | ">=") literal
                | ["not"] "in" "(" literal { "," literal } ")" | "like" "prefix%" | "has" literal
    name := "$" built-in field | key { "." key }
    key := a letter, then letters, digits, "_" and "-" | "`" any characters "`"

A plain name is a metadata key, dotted where keys are nested; a key of other characters, or one that is a keyword, is
quoted in backticks. A name with "$" is a built-in field; `$taken` is compared with dates (dates.py). What is compared is present and of the literal's type, or the
comparison is false; `has` looks into lists; `!=` and `not` are everything else, images without the key included; `null`
stands for an absent key. Texts and keys are compared in Unicode's composed form (NFC), as metadata is stored.
"""

from collections.abc import Callable
from typing import Literal

from domain.limits import MAX_FILTER_CHARACTERS
from rpc.errors import InvalidArgument
from rpc.metadata import composed
from services.stores.filters.dates import with_dates
from services.stores.filters.tokens import Token, error_at, keys_of, number_of, tokens_of, unquoted
from services.stores.filters.tree import (
    BUILT_IN_FIELDS,
    Condition,
    Field,
    Filter,
    Junction,
    Not,
    Operator,
    Value,
)

MAX_DEPTH = 20
MAX_LIST_ITEMS = 1000


def parse_filter(text: str) -> Filter | None:
    """The tree of a filter, None for an empty one; InvalidArgument says what is wrong and where."""
    if len(text) > MAX_FILTER_CHARACTERS:
        raise InvalidArgument(f"filter: {len(text)} characters are more than {MAX_FILTER_CHARACTERS}")
    if not text.strip():
        return None
    return with_dates(_Parser(tokens_of(text)).parse())


def parse_field(text: str) -> Field:
    """The field that a name means; InvalidArgument where it is not the name of one field."""
    return _Parser(tokens_of(text)).parse_field()


_ORDERS: dict[str, Operator] = {"<": "<", "<=": "<=", ">": ">", ">=": ">="}
_CONSTANTS: dict[str, bool | None] = {"true": True, "false": False, "null": None}
# Without `has`: behind a name it is the operator, elsewhere a key.
_KEYWORDS = {"and", "or", "not", "in", "like", "exists", *_CONSTANTS}


class _Parser:
    """One method for each rule of the grammar; looks one token ahead."""

    def __init__(self, tokens: list[Token]) -> None:
        self._tokens = tokens
        self._next = 0
        self._depth = 0

    def parse(self) -> Filter:
        tree = self._any_of()
        if self._ahead.kind != "end":
            raise self._unexpected("and, or, or the end")
        return tree

    def parse_field(self) -> Field:
        field = self._field()
        if self._ahead.kind != "end":
            raise self._unexpected("the end")
        return field

    @property
    def _ahead(self) -> Token:
        return self._tokens[self._next]

    def _take(self) -> Token:
        token = self._ahead
        self._next += 1
        return token

    def _accept(self, word: str) -> bool:
        """Whether the next token is this keyword or sign; the parser moves behind it."""
        token = self._ahead
        text = token.text.lower() if token.kind == "name" else token.text
        if token.kind not in {"name", "operator"} or text != word:
            return False
        self._next += 1
        return True

    def _expect(self, sign: str) -> None:
        if not self._accept(sign):
            raise self._unexpected(repr(sign))

    def _unexpected(self, expected: str) -> InvalidArgument:
        return error_at(self._ahead.position, f"expected {expected}, found {self._ahead.text}")

    def _any_of(self) -> Filter:
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise error_at(self._ahead.position, f"nested deeper than {MAX_DEPTH}")
        tree = self._joined("or", lambda: self._joined("and", self._term))
        self._depth -= 1
        return tree

    def _joined(self, word: Literal["and", "or"], rule: Callable[[], Filter]) -> Filter:
        terms = [rule()]
        while self._accept(word):
            terms.append(rule())
        return terms[0] if len(terms) == 1 else Junction(word, tuple(terms))

    def _term(self) -> Filter:
        negated = False
        while self._accept("not"):
            negated = not negated
        term = self._plain_term()
        return Not(term) if negated else term

    def _plain_term(self) -> Filter:
        if self._accept("("):
            tree = self._any_of()
            self._expect(")")
            return tree
        if self._accept("exists"):
            return Condition(self._field(), "exists")
        return self._comparison(self._field())

    def _field(self) -> Field:
        token = self._ahead
        if token.kind != "name" or token.text.lower() in _KEYWORDS:
            raise self._unexpected("the name of a field (quoted in `backticks` where it is not a plain word)")
        self._take()
        if token.text.startswith("$"):
            return _built_in(token)
        return Field(tuple(map(composed, keys_of(token))), token.position)

    def _comparison(self, field: Field) -> Filter:
        if self._accept("not"):
            self._expect("in")
            return Not(self._membership(field))
        for word, rule in (("in", self._membership), ("like", self._prefix), ("has", self._has)):
            if self._accept(word):
                return rule(field)
        if self._accept("!="):
            return Not(_member(field, [self._literal(field)]))
        if self._accept("=") or self._accept("=="):
            return _member(field, [self._literal(field)])
        if self._ahead.kind == "operator" and self._ahead.text in _ORDERS:
            return self._order(field)
        raise self._unexpected(f"a comparison after {field}")

    def _order(self, field: Field) -> Condition:
        token = self._take()
        value = self._literal(field)
        if value is None or isinstance(value, bool):
            raise error_at(token.position, f"{token.text} compares numbers and texts only")
        return Condition(field, _ORDERS[token.text], (value,))

    def _membership(self, field: Field) -> Filter:
        self._expect("(")
        values = [self._literal(field)]
        while self._accept(","):
            values.append(self._literal(field))
            if len(values) > MAX_LIST_ITEMS:
                raise error_at(self._ahead.position, f"a list of more than {MAX_LIST_ITEMS} items")
        self._expect(")")
        return _member(field, values)

    def _prefix(self, field: Field) -> Condition:
        token = self._ahead
        pattern = self._literal(field)
        if not isinstance(pattern, str) or not pattern.endswith("%") or "%" in pattern[:-1]:
            raise error_at(token.position, 'like takes a text that ends with its only %, as in "summer%"')
        return Condition(field, "like", (pattern[:-1],))

    def _has(self, field: Field) -> Condition:
        token = self._ahead
        value = self._literal(field)
        if field.is_built_in or value is None:
            raise error_at(token.position, "has looks for a text, a number, true or false in a list of the metadata")
        return Condition(field, "has", (value,))

    def _literal(self, field: Field) -> Value | None:
        token = self._ahead
        if token.kind == "text":
            text = unquoted(self._take().text)
            return text if field.is_built_in else composed(text)
        if token.kind == "number":
            return number_of(self._take())
        if token.kind == "name" and token.text.lower() in _CONSTANTS:
            return _CONSTANTS[self._take().text.lower()]
        raise self._unexpected("a quoted text, a number, true, false or null")


def _built_in(token: Token) -> Field:
    name = token.text.removeprefix("$")
    if name not in BUILT_IN_FIELDS:
        known = ", ".join(f"${each}" for each in sorted(BUILT_IN_FIELDS))
        raise error_at(token.position, f"{token.text[:40]} is not a built-in field; there are {known}")
    return Field((name,), token.position, is_built_in=True)


def _member(field: Field, values: list[Value | None]) -> Filter:
    """The membership in a list, in which `null` stands for the absent key."""
    present = tuple(value for value in values if value is not None)
    if len(present) == len(values):
        return Condition(field, "in", present)
    absent = Not(Condition(field, "exists"))
    return Junction("or", (absent, Condition(field, "in", present))) if present else absent
