"""How a command fails: one clear line on stderr and exit code 1, never a traceback for what a person can mend."""

import os
import signal
import sys
from typing import Any

import typer
from typer.core import TyperGroup

from encoders.errors import BundleError
from rpc.errors import ServiceError
from sources.errors import SourceError


class CommandFailed(Exception):
    """Why a command cannot go on, in one sentence that says what to do."""


class PlainFailures(TyperGroup):
    """A group of commands whose expected failures are one line each; anything else is a bug and shows itself."""

    def invoke(self, ctx: Any) -> Any:
        """Run the command that was named."""
        try:
            return super().invoke(ctx)
        except (CommandFailed, ServiceError, BundleError, SourceError) as error:
            typer.echo(f"fovea: {error}", err=True)
        except BrokenPipeError:
            # Whoever read the answer has enough of it, as `| head` has; nothing failed. Exit flushes stdout once more.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            raise typer.Exit(128 + signal.SIGPIPE) from None
        except PermissionError as error:
            typer.echo(f"fovea: {error.filename} may not be read or written; check its permissions", err=True)
        except OSError as error:
            # A full disk, too many open files: what the machine lacks.
            where = f"{error.filename}: " if error.filename else ""
            typer.echo(f"fovea: {where}{error.strerror or error}", err=True)
        raise typer.Exit(1)
