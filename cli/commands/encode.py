"""`fovea encode`: images or words to embeddings in a NumPy file."""

import asyncio
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import numpy as np
import numpy.typing as npt
import typer

from cli.connections import CALL_TIMEOUT_S, own_security
from cli.data_folder import RunningSystem
from cli.errors import CommandFailed
from cli.options import Data, Json, data_folder
from cli.output import note, show_json
from domain.limits import MAX_INPUTS
from rpc.channel import open_channel
from rpc.clients import Embedded, EncoderClient, Input
from rpc.deadline import Deadline
from rpc.errors import ServiceError
from sources.formats import IMAGE_SUFFIXES

app = typer.Typer(add_completion=False)


@app.command(epilog="Example: fovea encode cat.jpg dog.jpg --encoder general -o pets.npy")
def encode(
    content: Annotated[list[str], typer.Argument(metavar="FILE|TEXT…", help="Image files or words.")],
    *,
    encoder: Annotated[str, typer.Option(metavar="NAME", help="The bundle that encodes.")],
    output: Annotated[Path, typer.Option("--output", "-o", metavar="FILE", help="The .npy file to write.")],
    sketch: Annotated[bool, typer.Option(help="The files are drawings.")] = False,
    data: Data = None,
    address: Annotated[
        str, typer.Option("--address", metavar="HOST:PORT", help="The encoder process, if not run here.")
    ] = "",
    as_json: Json = False,
) -> None:
    """Encode images or words; writes float32 (N, D) of unit length, one row for each argument."""
    inputs = [_input(part, sketch=sketch) for part in content]
    embeddings, space = asyncio.run(_encode(address or _address(encoder, data), encoder, content, inputs))
    np.save(output, embeddings)
    rows, dimension = embeddings.shape
    if as_json:
        show_json({"file": str(output), "rows": rows, "dimension": dimension, "space": space})
    else:
        note(f"Wrote {output}: {rows} x {dimension}, space {space}")


def _address(encoder: str, data: Path | None) -> str:
    served = RunningSystem.read(data_folder(data)).encoders
    if encoder not in served:
        raise CommandFailed(f"no encoder {encoder} is served; served are: {', '.join(sorted(served))}")
    return served[encoder]


def _input(content: str, *, sketch: bool) -> Input:
    """A file's bytes where there is such a file or the name looks like one; words otherwise."""
    path = Path(content)
    try:
        path = path.expanduser()
        return Input(path.read_bytes(), "sketch" if sketch else "image")
    except (OSError, RuntimeError) as error:  # RuntimeError: `~name` of an unknown user
        if path.suffix.lower() in IMAGE_SUFFIXES or os.path.exists(path):  # noqa: PTH110 - accepts any text
            raise CommandFailed(f"{content} cannot be read: {getattr(error, 'strerror', error)}") from error
    return Input(content, "text")


async def _encode(
    address: str, encoder: str, names: Sequence[str], inputs: Sequence[Input]
) -> tuple[npt.NDArray[np.float32], str]:
    """The embeddings, and the space that they can be compared in."""
    rows: list[npt.NDArray[np.float32]] = []
    async with open_channel(address, security=own_security()) as channel:
        client = EncoderClient(channel)
        for start in range(0, len(inputs), MAX_INPUTS):
            batch = slice(start, start + MAX_INPUTS)
            encoded = await client.encode(inputs[batch], encoder=encoder, deadline=Deadline.after(CALL_TIMEOUT_S))
            rows += [_embedding(name, each) for name, each in zip(names[batch], encoded.outcomes, strict=True)]
    return np.stack(rows), encoded.space


def _embedding(name: str, outcome: Embedded | ServiceError) -> npt.NDArray[np.float32]:
    if isinstance(outcome, ServiceError):
        raise CommandFailed(f"{name}: {outcome}") from outcome
    for warning in outcome.warnings:
        note(f"{name}: {warning}")
    return outcome.embedding
