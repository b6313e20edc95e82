"""`fovea encode`: pictures or words to vectors in a NumPy file."""

import asyncio
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import numpy as np
import numpy.typing as npt
import typer

from cli.answers import note, show_json
from cli.failure import CommandFailed
from cli.options import Data, Json, data_folder
from cli.peers import CALL_TIMEOUT_S, encoder_service
from cli.running import Running
from rpc.clients import Embedded, EncoderClient, EncoderInfo, Input
from rpc.deadline import Deadline
from rpc.errors import ServiceError
from sources.formats import IMAGE_SUFFIXES

EXAMPLE = "Example: fovea encode cat.jpg dog.jpg --encoder general -o pets.npy"

_INPUTS_A_CALL = 64


def encode(
    content: Annotated[list[str], typer.Argument(metavar="FILE|TEXT…", help="Picture files or words.")],
    *,
    encoder: Annotated[str, typer.Option(metavar="NAME", help="The bundle that embeds.")],
    output: Annotated[Path, typer.Option("--output", "-o", metavar="FILE", help="The .npy file to write.")],
    sketch: Annotated[bool, typer.Option(help="The files are drawings.")] = False,
    data: Data = None,
    address: Annotated[
        str, typer.Option("--address", metavar="HOST:PORT", help="The encoder process, if not run here.")
    ] = "",
    as_json: Json = False,
) -> None:
    """Embed pictures or words; writes float32 (N, D) of unit length, one row for each argument."""
    inputs = [_input(part, sketch=sketch) for part in content]
    found, info = asyncio.run(_encode(address or _address(encoder, data), encoder, content, inputs))
    np.save(output, found)
    if as_json:
        rows, dimension = found.shape
        show_json({"file": str(output), "rows": rows, "dimension": dimension, "space": info.space})
    else:
        note(f"Wrote {output}: {found.shape[0]} x {found.shape[1]}, space {info.space}")


def _address(encoder: str, data: Path | None) -> str:
    served = Running.read(data_folder(data)).encoders
    if encoder not in served:
        raise CommandFailed(f"no encoder {encoder} is served; served are: {', '.join(sorted(served))}")
    return served[encoder]


def _input(content: str, *, sketch: bool) -> Input:
    """A file's bytes where there is such a file or it is called like one; words otherwise."""
    path = Path(content)
    try:
        path = path.expanduser()
        return Input(path.read_bytes(), "sketch" if sketch else "image")
    except (OSError, RuntimeError) as error:  # RuntimeError: `~nobody` is the home of nobody
        if path.suffix.lower() in IMAGE_SUFFIXES or os.path.exists(path):  # noqa: PTH110 - answers for any text
            raise CommandFailed(f"{content} cannot be read: {getattr(error, 'strerror', error)}") from error
    return Input(content, "text")


async def _encode(
    address: str, encoder: str, names: Sequence[str], inputs: Sequence[Input]
) -> tuple[npt.NDArray[np.float32], EncoderInfo]:
    async with encoder_service(address) as client:
        info = await _describe(client, encoder)
        rows: list[npt.NDArray[np.float32]] = []
        for start in range(0, len(inputs), _INPUTS_A_CALL):
            call = slice(start, start + _INPUTS_A_CALL)
            rows += await _rows(client, encoder, names[call], inputs[call])
    return np.stack(rows), info


async def _describe(client: EncoderClient, encoder: str) -> EncoderInfo:
    served = await client.describe(deadline=Deadline.after(CALL_TIMEOUT_S))
    for info in served:
        if info.name == encoder:
            return info
    raise CommandFailed(f"{encoder} is not served there; served are: {', '.join(info.name for info in served)}")


async def _rows(
    client: EncoderClient, encoder: str, names: Sequence[str], inputs: Sequence[Input]
) -> list[npt.NDArray[np.float32]]:
    deadline = Deadline.after(CALL_TIMEOUT_S)
    encoded = await client.encode(inputs, encoder=encoder, deadline=deadline)
    return [_row(name, outcome) for name, outcome in zip(names, encoded.outcomes, strict=True)]


def _row(name: str, outcome: Embedded | ServiceError) -> npt.NDArray[np.float32]:
    if isinstance(outcome, ServiceError):
        raise CommandFailed(f"{name}: {outcome}") from outcome
    for warning in outcome.warnings:
        note(f"{name}: {warning}")
    return outcome.embedding
