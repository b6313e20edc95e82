"""The filter language: text in, a tree out.

    expression := conjunction { "or" conjunction }
    conjunction := term { "and" term }
    term := "not" term | "(" expression ")" | "exists" name | name comparison
    comparison := ("=" | "==" | "!=" | "<" | "<=" | ">" | ">=") literal
                | ["not"] "in" "(" literal { "," literal } ")" | "like" "prefix%"

Names are metadata keys, dotted where they are nested, or one of the built-in fields. What is compared is present and of
the literal's type, or the comparison is false; `!=` and `not` are everything else, pictures without the key included;
`null` stands for an absent key.
"""

import math
import re
from dataclasses import dataclass
from typing import Literal

from rpc.errors import InvalidArgument

MAX_CHARACTERS = 4096
MAX_DEPTH = 20
MAX_LIST_ITEMS = 1000

Value = str | float | int | bool | None
Operator = Literal["==", "!=", "<", "<=", ">", ">="]


@dataclass(frozen=True, slots=True)
class Field:
    """A built-in field or a path into the metadata, with its place in the text for error messages."""

    path: tuple[str, ...]
    position: int

    def __str__(self) -> str:
        return ".".join(self.path)


@dataclass(frozen=True, slots=True)
class Comparison:
    """`name operator value`."""

    field: Field
    operator: Operator
    value: Value


@dataclass(frozen=True, slots=True)
class Membership:
    """`name in (values)`."""

    field: Field
    values: tuple[Value, ...]


@dataclass(frozen=True, slots=True)
class Prefix:
    """`name like "prefix%"`."""

    field: Field
    prefix: str


@dataclass(frozen=True, slots=True)
class Exists:
    """`exists name`."""

    field: Field


@dataclass(frozen=True, slots=True)
class Not:
    """`not term`."""

    term: "Filter"


@dataclass(frozen=True, slots=True)
class AllOf:
    """Terms joined with `and`, two or more."""

    terms: tuple["Filter", ...]


@dataclass(frozen=True, slots=True)
class AnyOf:
    """Terms joined with `or`, two or more."""

    terms: tuple["Filter", ...]


Filter = Comparison | Membership | Prefix | Exists | Not | AllOf | AnyOf


def parse_filter(text: str) -> Filter | None:
    """The tree of a filter, None for an empty one; InvalidArgument says what is wrong and where."""
    if len(text) > MAX_CHARACTERS:
        raise InvalidArgument(f"filter: {len(text)} characters are more than {MAX_CHARACTERS}")
    if not text.strip():
        return None
    return _Parser(_tokens(text)).whole()


@dataclass(frozen=True, slots=True)
class _Token:
    kind: Literal["name", "text", "number", "operator", "end"]
    text: str
    position: int


_TOKEN = re.compile(
    r"""(?P<space>\s+)
    |(?P<number>[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?(?![\w.]))
    |(?P<name>[^\W\d][\w-]*(?:\.[^\W\d][\w-]*)*)
    |(?P<text>"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')
    |(?P<operator>==|!=|<=|>=|[=<>(),])""",
    re.VERBOSE | re.DOTALL,
)
_ESCAPES = {"n": "\n", "r": "\r", "t": "\t"}
_OPERATORS: dict[str, Operator] = {"=": "==", "==": "==", "!=": "!=", "<": "<", "<=": "<=", ">": ">", ">=": ">="}
_CONSTANTS: dict[str, bool | None] = {"true": True, "false": False, "null": None}
_KEYWORDS = {"and", "or", "not", "in", "like", "exists", *_CONSTANTS}


def _tokens(text: str) -> list[_Token]:
    tokens, position = [], 0
    while position < len(text):
        match = _TOKEN.match(text, position)
        if match is None:
            raise _error(_complaint(text[position]), position)
        if match.lastgroup != "space":
            tokens.append(_Token(match.lastgroup, match.group(), position))  # type: ignore[arg-type]
        position = match.end()
    tokens.append(_Token("end", "the end", len(text)))
    return tokens


def _complaint(character: str) -> str:
    return "a text that does not end" if character in "\"'" else f"unexpected {character!r}"


class _Parser:
    """Recursive descent over the tokens, one token ahead."""

    def __init__(self, tokens: list[_Token]) -> None:
        self._tokens = tokens
        self._next = 0
        self._depth = 0

    def whole(self) -> Filter:
        tree = self._any_of()
        if self._ahead.kind != "end":
            raise self._unexpected("and, or, or the end")
        return tree

    @property
    def _ahead(self) -> _Token:
        return self._tokens[self._next]

    def _take(self) -> _Token:
        token = self._ahead
        self._next += 1
        return token

    def _takes(self, word: str) -> bool:
        """Whether the next token is this keyword or sign, which is then taken."""
        token = self._ahead
        said = token.text.lower() if token.kind == "name" else token.text
        if token.kind not in {"name", "operator"} or said != word:
            return False
        self._next += 1
        return True

    def _expect(self, sign: str) -> None:
        if not self._takes(sign):
            raise self._unexpected(repr(sign))

    def _unexpected(self, wanted: str) -> InvalidArgument:
        return _error(f"expected {wanted}, found {self._ahead.text}", self._ahead.position)

    def _any_of(self) -> Filter:
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise _error(f"nested deeper than {MAX_DEPTH}", self._ahead.position)
        terms = [self._all_of()]
        while self._takes("or"):
            terms.append(self._all_of())
        self._depth -= 1
        return terms[0] if len(terms) == 1 else AnyOf(tuple(terms))

    def _all_of(self) -> Filter:
        terms = [self._term()]
        while self._takes("and"):
            terms.append(self._term())
        return terms[0] if len(terms) == 1 else AllOf(tuple(terms))

    def _term(self) -> Filter:
        negated = False
        while self._takes("not"):
            negated = not negated
        term = self._plain_term()
        return Not(term) if negated else term

    def _plain_term(self) -> Filter:
        if self._takes("("):
            tree = self._any_of()
            self._expect(")")
            return tree
        if self._takes("exists"):
            return Exists(self._field())
        return self._comparison(self._field())

    def _field(self) -> Field:
        token = self._ahead
        if token.kind != "name" or token.text.lower() in _KEYWORDS:
            raise self._unexpected("the name of a field")
        return Field(tuple(self._take().text.split(".")), token.position)

    def _comparison(self, field: Field) -> Filter:
        if self._takes("not"):
            self._expect("in")
            return Not(self._membership(field))
        if self._takes("in"):
            return self._membership(field)
        if self._takes("like"):
            return self._prefix(field)
        operator = _OPERATORS.get(self._ahead.text) if self._ahead.kind == "operator" else None
        if operator is None:
            raise self._unexpected(f"a comparison after {field}")
        position = self._take().position
        value = self._literal()
        if operator not in {"==", "!="} and (value is None or isinstance(value, bool)):
            raise _error(f"{operator} compares numbers and texts only", position)
        return Comparison(field, operator, value)

    def _membership(self, field: Field) -> Membership:
        self._expect("(")
        values = [self._literal()]
        while self._takes(","):
            values.append(self._literal())
            if len(values) > MAX_LIST_ITEMS:
                raise _error(f"a list of more than {MAX_LIST_ITEMS} items", self._ahead.position)
        self._expect(")")
        return Membership(field, tuple(values))

    def _prefix(self, field: Field) -> Prefix:
        token = self._ahead
        pattern = self._literal()
        if not isinstance(pattern, str) or not pattern.endswith("%") or "%" in pattern[:-1]:
            raise _error('like takes a text that ends with its only %, as in "summer%"', token.position)
        return Prefix(field, pattern[:-1])

    def _literal(self) -> Value:
        token = self._ahead
        if token.kind == "text":
            return _unquoted(self._take())
        if token.kind == "number":
            return _number(self._take())
        if token.kind == "name" and token.text.lower() in _CONSTANTS:
            return _CONSTANTS[self._take().text.lower()]
        raise self._unexpected("a quoted text, a number, true, false or null")


def _unquoted(token: _Token) -> str:
    return re.sub(r"\\(.)", lambda m: _ESCAPES.get(m.group(1), m.group(1)), token.text[1:-1], flags=re.DOTALL)


def _number(token: _Token) -> int | float:
    if re.fullmatch(r"[+-]?\d+", token.text):
        number = int(token.text)
        if abs(number) < 2**63:
            return number
    value = float(token.text)
    if math.isinf(value):
        raise _error(f"{token.text[:20]} is too large", token.position)
    return value


def _error(what: str, position: int) -> InvalidArgument:
    return InvalidArgument(f"filter: {what} at position {position}")
