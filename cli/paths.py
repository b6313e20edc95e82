"""Paths as people write them, and the folders that are meant when they name none."""

import os
from pathlib import Path

import typer

from cli.failure import CommandFailed


def named(text: str) -> Path:
    """The path of an option; an empty one, as an unset variable of a shell gives, is not taken for the current folder."""
    if not text.strip():
        raise typer.BadParameter("the path is empty")
    return Path(text)


def expanded(path: Path) -> Path:
    """The absolute path that is meant; CommandFailed where its `~` or its links lead nowhere."""
    try:
        return path.expanduser().resolve()
    except (OSError, RuntimeError) as error:
        raise CommandFailed(f"{path} leads nowhere ({error}): give a full path") from error


def home() -> Path | None:
    """The home folder, where there is one: a service's user may have none, `/`, or one that does not exist."""
    found = Path(os.path.expanduser("~"))  # noqa: PTH111 - unlike pathlib's, it does not raise where HOME is unknown
    return found if found.is_absolute() and found.is_dir() and found != found.parent else None


def default_roots() -> list[Path]:
    """The folders that pictures may be read from unless others are named: the home folder and the current one."""
    try:
        here = [Path.cwd()]
    except FileNotFoundError:
        here = []
    found = home()
    return [*([found] if found else []), *here]
