"""The INI-like text of Darknet's `.cfg`: sections, which may repeat, in order, with the line of every value."""

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

from encoders.errors import BundleError

Value = TypeVar("Value", int, float)


@dataclass(frozen=True, slots=True)
class Section:
    """One `[kind]` and its options, each with its line; messages of its errors start with that line."""

    kind: str
    line: int
    options: dict[str, tuple[int, str]] = field(default_factory=dict)

    def __contains__(self, key: str) -> bool:
        return key in self.options

    def wrong(self, problem: str, key: str = "") -> BundleError:
        """The error for a problem with this section, or with one of its keys."""
        line = self.options[key][0] if key in self.options else self.line
        return BundleError(f"line {line}, [{self.kind}]: {problem}.")

    def text(self, key: str, default: str) -> str:
        """The value as it stands."""
        return self.options[key][1] if key in self.options else default

    def flag(self, key: str) -> bool:
        """Whether the key is there and not 0."""
        return self.integer(key, 0) != 0

    def integer(
        self, key: str, default: int | None = None, *, least: int | None = None, most: int | None = None
    ) -> int:
        """A whole number; without a default the key is required."""
        if key not in self.options and default is not None:
            return default
        value = self._one(key, self.integers(key))
        if (least is not None and value < least) or (most is not None and value > most):
            raise self.wrong(f"{key}={value} is not between {least} and {most}", key)
        return value

    def number(self, key: str, default: float) -> float:
        """A finite number."""
        return self._one(key, self.numbers(key)) if key in self.options else default

    def integers(self, key: str) -> tuple[int, ...]:
        """Whole numbers between commas."""
        return self._parsed(key, int, "whole numbers")

    def numbers(self, key: str) -> tuple[float, ...]:
        """Finite numbers between commas."""
        values = self._parsed(key, float, "numbers")
        if not all(math.isfinite(value) for value in values):
            raise self.wrong(f"{key} must be finite", key)
        return values

    def refuse_unless(self, **defaults: int | None) -> None:
        """Raise for an option that is not implemented, unless its value is the default, which changes nothing."""
        for key, default in defaults.items():
            if key in self.options and (default is None or self.number(key, default) != default):
                raise self.wrong(f"{key}={self.text(key, '')} is not supported", key)

    def _parsed(self, key: str, parse: Callable[[str], Value], kinds: str) -> tuple[Value, ...]:
        if key not in self.options:
            raise self.wrong(f"{key} is missing")
        text = self.options[key][1]
        try:
            return tuple(parse(part) for part in text.split(",") if part.strip())
        except ValueError:
            raise self.wrong(f"{key}={text[:60]} must be {kinds}", key) from None

    def _one(self, key: str, values: tuple[Value, ...]) -> Value:
        if len(values) != 1:
            raise self.wrong(f"{key} must be one number", key)
        return values[0]


def parse_sections(text: str) -> list[Section]:
    """Split the text into its sections; `#` and `;` start comments, spaces do not count."""
    sections: list[Section] = []
    for number, line in enumerate(text.splitlines(), start=1):
        content = line.split("#")[0].split(";")[0].strip()
        if content.startswith("["):
            sections.append(Section(_kind(content, number), number))
        elif content:
            _add_option(sections, content, number)
    return sections


def _kind(content: str, number: int) -> str:
    if not content.endswith("]") or len(content) < 3:
        raise BundleError(f"line {number}: a section looks like [convolutional], not {content[:60]!r}.")
    return content[1:-1].strip()


def _add_option(sections: list[Section], content: str, number: int) -> None:
    key, equals, value = (part.strip() for part in content.partition("="))
    if not equals or not key or not value:
        raise BundleError(f"line {number}: expected key=value, not {content[:60]!r}.")
    if not sections:
        raise BundleError(f"line {number}: {key} stands before the first section.")
    sections[-1].options.setdefault(key, (number, value))  # as in Darknet, the first of two values counts
