"""How commands print: tables for people, JSON for programs, notes on stderr."""

import json
from collections.abc import Mapping, Sequence
from itertools import accumulate
from typing import Any

from google.protobuf.json_format import MessageToDict
from google.protobuf.message import Message
from rich.cells import cell_len
from rich.console import Console
from rich.progress import Progress, ProgressColumn
from rich.table import Table
from rich.text import Text

_WIDTH_WITHOUT_TERMINAL = 200
_GAP = 2  # between two columns


def console(*, stderr: bool = False) -> Console:
    """Where to write; as wide as a long path where no terminal says how wide it is."""
    made = Console(stderr=stderr, highlight=False, soft_wrap=False)
    return made if made.is_terminal else Console(stderr=stderr, highlight=False, width=_WIDTH_WITHOUT_TERMINAL)


def progress_bar(*columns: ProgressColumn) -> Progress:
    """A progress bar that vanishes at its end, and that only a terminal shows."""
    out = console(stderr=True)
    return Progress(*columns, console=out, transient=True, disable=not out.is_terminal)


def show(rows: Sequence[Mapping[str, Any]], *, as_json: bool = False, empty: str = "nothing") -> None:
    """Print rows as a table with a column for each key that occurs, or as a JSON list."""
    if as_json:
        show_json(rows)
    elif not rows:
        console().print(empty, markup=False)
    else:
        console().print(_table(rows, _names(rows)))


def show_fitting(rows: Sequence[Mapping[str, Any]], *, wide: bool, as_json: bool, empty: str) -> None:
    """The same in lines that are never broken: columns for which there is no room are left out, unless `wide`."""
    if as_json or not rows:
        show(rows, as_json=as_json, empty=empty)
        return
    out, names = console(), _names(rows)
    widths = list(accumulate(_width(rows, name) + _GAP for name in names))
    count = len(names) if wide else max(1, sum(width - _GAP <= out.width for width in widths))
    out.width = max(out.width, widths[count - 1])
    out.print(_table(rows, names[:count]))
    if left_out := names[count:]:
        note(f"Left out: {', '.join(map(_heading, left_out))}; --wide shows them.")


def show_record(record: Mapping[str, Any], *, as_json: bool) -> None:
    """Print one record, a line for each field, or as a JSON object."""
    if as_json:
        show_json(record)
    else:
        show([{"": _heading(name), " ": value} for name, value in record.items()])


def show_json(value: Any) -> None:
    """Print one JSON document."""
    print(json.dumps(value, indent=2, ensure_ascii=False, default=str))  # noqa: T201 - this is the command's output


def note(text: str) -> None:
    """Print to stderr, so that the result on stdout stays complete and alone."""
    console(stderr=True).print(text, markup=False)


def as_dict(message: Message) -> dict[str, Any]:
    """A message as JSON values under the contract's own names, zeros included."""
    return MessageToDict(message, preserving_proto_field_name=True, always_print_fields_with_no_presence=True)


def _names(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Every key that occurs, in the order of the first row that has it."""
    return list(dict.fromkeys(name for row in rows for name in row))


def _table(rows: Sequence[Mapping[str, Any]], names: Sequence[str]) -> Table:
    table = Table(box=None, pad_edge=False)
    for name in names:
        values = [row[name] for row in rows if row.get(name) is not None]
        are_numbers = all(isinstance(value, int | float) and not isinstance(value, bool) for value in values)
        table.add_column(_heading(name), justify="right" if values and are_numbers else "left", overflow="fold")
    for row in rows:
        table.add_row(*(Text(_cell(row.get(name))) for name in names))
    return table


def _heading(name: str) -> str:
    return name.replace("_", " ")


def _width(rows: Sequence[Mapping[str, Any]], name: str) -> int:
    return max(map(cell_len, (_heading(name), *(_cell(row.get(name)) for row in rows))))


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
