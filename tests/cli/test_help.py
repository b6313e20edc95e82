from collections.abc import Iterator
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from cli.lazy_commands import LazyCommand
from cli.main import app


def commands(command: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """The path of every command that does something."""
    command = command.load() if isinstance(command, LazyCommand) else command
    nested = getattr(command, "commands", None)
    if nested is None:
        yield path
    for name, inner in (nested or {}).items():
        yield from commands(inner, (*path, name))


COMMANDS = list(commands(typer.main.get_command(app)))


@pytest.mark.parametrize("path", COMMANDS, ids=" ".join)
def test_help_has_an_example(path: tuple[str, ...]) -> None:
    """Every command explains itself with an example of its own."""
    shown = CliRunner().invoke(app, [*path, "--help"], env={"COLUMNS": "200"})

    assert shown.exit_code == 0
    assert f"Example: fovea {' '.join(path)}" in shown.output


def test_the_list_says_what_the_commands_say() -> None:
    """`fovea --help` shows the first line of each command's own help, which it does not import."""
    listed = list(typer.main.get_command(app).commands.values())  # type: ignore[attr-defined]

    assert listed
    for command in listed:
        assert command.help == command.load().help.splitlines()[0]


def test_the_contracts_commands_are_there() -> None:
    """What the contract names can be typed."""
    single = {"up", "demo", "ingest", "search", "encode", "doctor", "reindex", "scrub", "backup", "restore"}
    collections = {f"collections {verb}" for verb in ("list", "create", "show", "update", "delete")}
    models = {f"models {verb}" for verb in ("list", "pull", "import", "show", "verify")}
    tokens = {f"token {verb}" for verb in ("create", "list", "revoke")}

    assert {" ".join(path) for path in COMMANDS} == single | collections | models | tokens
