"""Commands that are imported when they are called, so that none costs the time and the memory of another's libraries."""

from importlib import import_module
from typing import Any

import typer
from typer.core import TyperCommand

from cli.interrupts import ended_by_interrupts


class LazyCommand(TyperCommand):
    """The subcommand that `cli.commands.NAME` holds as `app`; its first line of help is known without the import."""

    def make_context(self, *arguments: Any, **options: Any) -> Any:
        """Parse the arguments of a call as the command itself does, which is then what runs."""
        return self.load().make_context(*arguments, **options)

    def load(self) -> Any:
        """The command itself."""
        with ended_by_interrupts():
            module = import_module(f"cli.commands.{self.name}")
        return typer.main.get_command(module.app)
