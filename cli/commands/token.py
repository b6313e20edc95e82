"""`fovea token`: who may call, in the file that FOVEA_TOKENS names."""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any

import typer

from cli.errors import CommandFailed
from cli.options import Json, parse_path
from cli.output import note, show, show_json
from rpc.security.tokens import Right, TokenEntry, TokenFile
from rpc.security.watched_files import UnusableFile

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    help="Create, list and revoke tokens of callers.",
    epilog="Example: fovea token list --file tokens.json",
)

File = Annotated[
    Path,
    typer.Option(
        "--file",
        parser=parse_path,
        envvar="FOVEA_TOKENS",
        metavar="FILE",
        help="The token file; it is made where there is none.",
    ),
]
_Names = list[str] | None


def _names(what: str) -> Any:
    return typer.Option(
        metavar="NAME", help=f"A collection to {what}; `shop_*` means all that begin so, `*` all. May be given again."
    )


@app.command(epilog="Example: fovea token create --name shop --read products --encode --file tokens.json")
def create(
    *,
    file: File,
    name: Annotated[str, typer.Option(metavar="TEXT", help="What it is for; for lists alone.")] = "",
    read: Annotated[_Names, _names("search and read")] = None,
    write: Annotated[_Names, _names("read and add to")] = None,
    admin: Annotated[_Names, _names("create, change and delete, too")] = None,
    encode: Annotated[bool, typer.Option("--encode", help="May call encoders and detectors.")] = False,
    files: Annotated[
        bool, typer.Option("--files", help="May ingest files below the image roots by their path.")
    ] = False,
    calls_per_s: Annotated[float, typer.Option(min=0, help="Calls a second in each process; 0 sets no limit.")] = 0.0,
    calls_at_once: Annotated[int, typer.Option(min=1, help="Calls at once in each process.")] = 16,
    days: Annotated[int, typer.Option(min=0, help="Days until it expires; 0: never.")] = 0,
    as_json: Json = False,
) -> None:
    """Create a token and print it, once; the file keeps its hash alone. Running processes know it within two seconds."""
    rights = {Right.READ: read, Right.WRITE: write, Right.ADMIN: admin}  # the larger one is later, and stays
    collections = {pattern: right.word for right, patterns in rights.items() for pattern in patterns or ()}
    try:
        token, entry = TokenEntry.new(
            name=name,
            collections=collections,
            encode=encode,
            files=files,
            calls_per_s=calls_per_s,
            calls_at_once=calls_at_once,
            expires=datetime.now(UTC).replace(microsecond=0) + timedelta(days=days) if days else None,
        )
    except ValueError as error:  # pydantic's own is one
        raise CommandFailed("a name of a collection is like `shop`, `shop_*` or `*`, and a text is short") from error
    held = _read(file) if file.exists() else TokenFile()
    _write(file, [*held.tokens, entry])
    if as_json:
        show_json({"id": entry.id, "token": token})
    else:
        typer.echo(token)
        note(f"{entry.id} is in {file}; this is the only time that the token is shown.")


@app.command("list", epilog="Example: fovea token list --file tokens.json")
def list_tokens(*, file: File, as_json: Json = False) -> None:
    """List the tokens of a file: their ids, rights and limits."""
    rows = [
        {
            **entry.model_dump(mode="json", exclude={"sha256", "collections"}),
            "collections": ", ".join(f"{pattern}: {right.word}" for pattern, right in entry.collections.items()),
        }
        for entry in _read(file).tokens
    ]
    show(rows, as_json=as_json, empty="No tokens.")


@app.command(epilog="Example: fovea token revoke 3f0c9a7be2d1 --file tokens.json")
def revoke(
    token_id: Annotated[str, typer.Argument(metavar="ID", help="The token's id; it follows `fovea_` in its text.")],
    *,
    file: File,
) -> None:
    """Remove a token from a file; running processes refuse it within two seconds."""
    held = _read(file)
    kept = [entry for entry in held.tokens if entry.id != token_id]
    if len(kept) == len(held.tokens):
        raise CommandFailed(f"there is no token {token_id} in {file}")
    _write(file, kept)
    note(f"Revoked {token_id}.")


def _read(file: Path) -> TokenFile:
    try:
        return TokenFile.read(file)
    except UnusableFile as error:
        raise CommandFailed(str(error)) from error


def _write(file: Path, entries: Iterable[TokenEntry]) -> None:
    TokenFile(tokens=tuple(entries)).write(file)
