"""How commands answer: tables for people, JSON for programs, notes on stderr."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from google.protobuf.json_format import MessageToDict
from google.protobuf.message import Message
from rich.console import Console
from rich.table import Table
from rich.text import Text

_WIDTH_WITHOUT_TERMINAL = 200


def console(*, stderr: bool = False) -> Console:
    """Where to write; as wide as a long path where no terminal says how wide it is."""
    made = Console(stderr=stderr, highlight=False, soft_wrap=False)
    return made if made.is_terminal else Console(stderr=stderr, highlight=False, width=_WIDTH_WITHOUT_TERMINAL)


def show(rows: Sequence[Mapping[str, Any]], *, as_json: bool, title: str = "", empty: str = "nothing") -> None:
    """Print rows with the same keys as a table, or as a JSON list."""
    if as_json:
        show_json(rows)
    elif not rows:
        console().print(empty, markup=False)
    else:
        console().print(_table(rows, title))


def show_json(value: Any) -> None:
    """Print one JSON document."""
    print(json.dumps(value, indent=2, ensure_ascii=False, default=str))  # noqa: T201 - this is the command's answer


def note(text: str) -> None:
    """Say something beside the answer."""
    console(stderr=True).print(text, markup=False)


def as_dict(message: Message) -> dict[str, Any]:
    """A message as JSON values under the contract's own names, zeros included."""
    return MessageToDict(message, preserving_proto_field_name=True, always_print_fields_with_no_presence=True)


def _table(rows: Sequence[Mapping[str, Any]], title: str) -> Table:
    table = Table(title=title or None, title_justify="left", box=None, pad_edge=False)
    for name, value in rows[0].items():
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        table.add_column(name.replace("_", " "), justify="right" if is_number else "left", overflow="fold")
    for row in rows:
        table.add_row(*(Text(_cell(value)) for value in row.values()))
    return table


def _cell(value: Any) -> str:
    """A value as people read it: no braces, no quotes, whole numbers without a point."""
    match value:
        case None:
            return ""
        case bool():
            return "yes" if value else "no"
        case float():
            return f"{value:.3f}"
        case Mapping():
            return ", ".join(f"{name} {_within(inner)}" for name, inner in value.items())
        case _:
            return _within(value)


def _within(value: Any) -> str:
    match value:
        case float() if value.is_integer():
            return str(int(value))
        case Mapping():
            return json.dumps(value, ensure_ascii=False)
        case list() | tuple():
            return " ".join(_within(inner) for inner in value)
        case _:
            return str(value)
