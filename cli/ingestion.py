"""Sending pictures to the ingest service: files in, one outcome for each out, as fast as the service takes them."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from google.protobuf.struct_pb2 import Struct

from cli.failure import CommandFailed
from fovea.ingest.v1 import ingest_pb2
from rpc.errors import InvalidArgument
from rpc.metadata import struct_of_json

if TYPE_CHECKING:
    from fovea.ingest.v1 import ingest_pb2_grpc

MAX_PICTURE_BYTES = 32 << 20

_STATUSES = {
    ingest_pb2.INGEST_STATUS_ADDED: "added",
    ingest_pb2.INGEST_STATUS_UNCHANGED: "unchanged",
    ingest_pb2.INGEST_STATUS_UPDATED: "updated",
    ingest_pb2.INGEST_STATUS_FAILED: "failed",
}


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one file: `added`, `unchanged`, `updated` or `failed`, and why it failed."""

    uri: str
    status: str
    error: str = ""
    region_count: int = 0
    warnings: tuple[str, ...] = ()


async def ingested(
    stub: "ingest_pb2_grpc.IngestServiceAsyncStub",
    collection: str,
    files: Iterable[Path],
    metadata: Mapping[Path, Struct],
) -> AsyncIterator[Outcome]:
    """One outcome for each file, in order of completion; a file's absolute path is its uri and finds its metadata."""
    unreadable: list[Outcome] = []

    async def requests() -> AsyncIterator[ingest_pb2.IngestRequest]:
        # By itself, because there may be no file that can be read.
        yield ingest_pb2.IngestRequest(collection=collection)
        for file in files:
            try:
                item = ingest_pb2.Item(uri=str(file), image=await asyncio.to_thread(_read, file))
            except OSError as error:
                unreadable.append(Outcome(str(file), "failed", error.strerror or str(error)))
                continue
            if file in metadata:
                item.metadata.CopyFrom(metadata[file])
            yield ingest_pb2.IngestRequest(item=item)

    async for response in stub.Ingest(requests()):
        yield _outcome(response)
    for outcome in unreadable:
        yield outcome


def read_metadata(sidecar: Path) -> dict[Path, Struct]:
    """The metadata of a JSON-lines file, `{"file": …, "metadata": {…}}`, by absolute path; names are beside the file."""
    found: dict[Path, Struct] = {}
    for number, line in enumerate(_lines(sidecar), start=1):
        try:
            entry: dict[str, Any] = json.loads(line)
            found[sidecar.parent.resolve() / entry["file"]] = struct_of_json(entry["metadata"])
        except InvalidArgument as error:
            raise CommandFailed(f"{sidecar}, line {number}: {error.message}") from error
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise CommandFailed(
                f'{sidecar}, line {number} is not {{"file": name, "metadata": {{…}}}}: {error}'
            ) from error
    return found


def _lines(sidecar: Path) -> list[str]:
    try:
        return [line for line in sidecar.read_text().splitlines() if line.strip()]
    except (OSError, UnicodeDecodeError) as error:
        raise CommandFailed(f"{sidecar} cannot be read: {error}") from error


def _read(file: Path) -> bytes:
    if file.stat().st_size > MAX_PICTURE_BYTES:
        raise OSError(0, f"the file is larger than {MAX_PICTURE_BYTES >> 20} MiB")
    return file.read_bytes()


def _outcome(response: ingest_pb2.IngestResponse) -> Outcome:
    return Outcome(
        uri=response.uri,
        status=_STATUSES.get(response.status, "failed"),
        error=response.error.message,
        region_count=response.region_count,
        warnings=tuple(response.warnings),
    )
