"""How a command ends before its work is done: a failure is one line and exit code 1, a signal cancels the work."""

import asyncio
import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import typer
from typer.core import TyperGroup

from encoders.errors import BundleError
from rpc.errors import ServiceError
from sources.errors import SourceError

_STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class CommandFailed(Exception):
    """Why a command cannot go on, in one sentence that says what to do."""


class PlainFailures(TyperGroup):
    """A group of commands whose expected failures are one line each; anything else is a bug and shows its traceback."""

    def invoke(self, ctx: Any) -> Any:
        """Run the command that was named."""
        try:
            return super().invoke(ctx)
        except (CommandFailed, ServiceError, BundleError, SourceError) as error:
            typer.echo(f"fovea: {error}", err=True)
        except BrokenPipeError:
            # The reader closed the pipe, as `| head` does: that is not a failure. The exit flushes stdout once more.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            raise typer.Exit(128 + signal.SIGPIPE) from None
        except PermissionError as error:
            typer.echo(f"fovea: {error.filename} may not be read or written; check its permissions", err=True)
        except OSError as error:
            # What the machine lacks: a full disk, too many open files.
            where = f"{error.filename}: " if error.filename else ""
            typer.echo(f"fovea: {where}{error.strerror or error}", err=True)
        raise typer.Exit(1)


@contextmanager
def cancelled_by_signals(*, on_repeat: Callable[[], None] = lambda: None) -> Iterator[None]:
    """Cancel the current task at the first Ctrl-C, SIGTERM or SIGHUP inside the block; call `on_repeat` at later ones.

    A shell starts background commands with SIGINT ignored; a handler of the loop is called there too.
    """
    loop, task = asyncio.get_running_loop(), asyncio.current_task()
    assert task is not None, "signals cancel a task, so there must be one"

    def stop() -> None:
        if task.cancelling():
            on_repeat()
        else:
            task.cancel()

    for number in _STOP_SIGNALS:
        loop.add_signal_handler(number, stop)
    try:
        yield
    finally:
        for number in _STOP_SIGNALS:
            loop.remove_signal_handler(number)
