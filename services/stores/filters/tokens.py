"""The tokens of a filter, and the values that literals stand for."""

import math
import re
from dataclasses import dataclass
from typing import Literal

from domain.limits import MAX_INTEGER
from rpc.errors import InvalidArgument


@dataclass(frozen=True, slots=True)
class Token:
    """A piece of the text as it was written, with its position for error messages."""

    kind: Literal["name", "text", "number", "operator", "end"]
    text: str
    position: int


_TOKEN = re.compile(
    r"""(?P<space>\s+)
    |(?P<number>[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?(?![\w.]))
    |(?P<name>\$\w*|SEGMENT(?:\.SEGMENT)*)
    |(?P<text>"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')
    |(?P<operator>==|!=|<=|>=|[=<>(),])""".replace(
        # A plain key, in which any character beyond ASCII may stand, marks that combine with a letter too; or a quoted one.
        "SEGMENT",
        r"(?:(?:[^\W\d]|[^\x00-\x7F\s])(?:[\w-]|[^\x00-\x7F\s])*|`(?:[^`\\]|\\.)*`)",
    ),
    re.VERBOSE | re.DOTALL,
)
_SEGMENT = re.compile(r"`(?:[^`\\]|\\.)*`|[^.`]+", re.DOTALL)
_ESCAPES = {"n": "\n", "r": "\r", "t": "\t"}
_QUOTES = {'"': "a text", "'": "a text", "`": "a name"}


def tokens_of(text: str) -> list[Token]:
    """The tokens of a filter, closed by one of the kind `end`."""
    tokens, position = [], 0
    while position < len(text):
        match = _TOKEN.match(text, position)
        if match is None:
            quoted = _QUOTES.get(text[position])
            raise error_at(position, f"{quoted} that does not end" if quoted else f"unexpected {text[position]!r}")
        if match.lastgroup != "space":
            tokens.append(Token(match.lastgroup, match.group(), position))  # type: ignore[arg-type]
        position = match.end()
    tokens.append(Token("end", "the end", len(text)))
    return tokens


def keys_of(token: Token) -> tuple[str, ...]:
    """The keys of a name, of which the quoted ones stand in backticks."""
    keys = tuple(unquoted(key) if key[0] == "`" else key for key in _SEGMENT.findall(token.text))
    if "" in keys:
        raise error_at(token.position, "a name that is empty")
    return keys


def unquoted(quoted: str) -> str:
    """The text or the key that a quoted one stands for."""
    return re.sub(r"\\(.)", lambda m: _ESCAPES.get(m.group(1), m.group(1)), quoted[1:-1], flags=re.DOTALL)


def number_of(token: Token) -> int | float:
    """The number that a literal stands for; integers that a double does not keep apart are refused."""
    text = token.text[:20]
    if not re.fullmatch(r"[+-]?\d+", token.text):
        if math.isinf(value := float(token.text)):
            raise error_at(token.position, f"{text} is too large")
        return value
    # The length first: int() refuses texts of many digits, and is slow with long ones.
    digits = token.text.lstrip("+-0")
    if len(digits) > len(str(MAX_INTEGER)) or abs(int(token.text)) > MAX_INTEGER:
        raise error_at(token.position, f"{text} is beyond 2^53 and cannot be compared exactly; store such ids as text")
    return int(token.text)


def error_at(position: int, what: str) -> InvalidArgument:
    """The error of a filter, with the position that it is about."""
    return InvalidArgument(f"filter: {what} at position {position}")
