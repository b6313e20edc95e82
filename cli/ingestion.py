"""Sending images to the ingest service: files in, one outcome for each out, as fast as the service takes them."""

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from google.protobuf.struct_pb2 import Struct

from domain.limits import MAX_IMAGE_BYTES
from fovea.ingest.v1 import ingest_pb2
from rpc.errors import InvalidArgument, from_status

if TYPE_CHECKING:
    from fovea.ingest.v1 import ingest_pb2_grpc


_STATUSES = {
    ingest_pb2.INGEST_STATUS_ADDED: "added",
    ingest_pb2.INGEST_STATUS_UNCHANGED: "unchanged",
    ingest_pb2.INGEST_STATUS_UPDATED: "updated",
    ingest_pb2.INGEST_STATUS_FAILED: "failed",
}

Signature: TypeAlias = tuple[int, int, int]
"""When a file's content and status changed, in ns, and its size in bytes: another signature is another content."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one file: `added`, `unchanged`, `updated` or `failed`, and why it failed.

    `signature` is that of the file before it was read. A failure that `may_pass` can go by itself.
    """

    uri: str
    status: str
    error: str = ""
    region_count: int = 0
    warnings: tuple[str, ...] = ()
    signature: Signature | None = None
    may_pass: bool = False


async def ingested(
    stub: "ingest_pb2_grpc.IngestServiceAsyncStub",
    collection: str,
    files: Iterable[str],
    metadata: Mapping[str, Struct],
    *,
    keep: bool = True,
) -> AsyncIterator[Outcome]:
    """One outcome for each file, in order of completion; a file's absolute path is its uri and finds its metadata.

    A file without metadata keeps what it has. `keep`: the service copies what lies outside its image roots.
    """
    unreadable: list[Outcome] = []
    in_flight: dict[str, Signature] = {}

    async def requests() -> AsyncIterator[ingest_pb2.IngestRequest]:
        # By itself, because there may be no file that can be read.
        yield ingest_pb2.IngestRequest(collection=collection)
        for file in files:
            try:
                in_flight[file] = signature_of(file)
                image = await asyncio.to_thread(_read, file)
            except OSError as error:
                seen = in_flight.pop(file, None)
                reason = error.strerror or str(error)
                unreadable.append(Outcome(file, "failed", reason, signature=seen, may_pass=bool(error.errno)))
                continue
            yield ingest_pb2.IngestRequest(
                item=ingest_pb2.Item(uri=file, image=image, metadata=metadata.get(file), keep=keep)
            )

    async for response in stub.Ingest(requests()):
        yield _outcome(response, in_flight.pop(response.uri, None))
    for outcome in unreadable:
        yield outcome


def signature_of(file: str) -> Signature:
    """The signature of a file now; raises OSError."""
    status = Path(file).stat()
    return status.st_mtime_ns, status.st_ctime_ns, status.st_size


def _read(file: str) -> bytes:
    with Path(file).open("rb") as stream:
        data = stream.read(MAX_IMAGE_BYTES + 1)
    if len(data) > MAX_IMAGE_BYTES:
        raise OSError(0, f"the file is larger than {MAX_IMAGE_BYTES >> 20} MiB")
    return data


def _outcome(response: ingest_pb2.IngestResponse, signature: Signature | None) -> Outcome:
    return Outcome(
        uri=response.uri,
        status=_STATUSES.get(response.status, "failed"),
        # The file is named beside it.
        error=response.error.message.removeprefix("item.image: ").removeprefix("item."),
        region_count=response.region_count,
        warnings=tuple(response.warnings),
        signature=signature,
        may_pass=response.HasField("error") and not isinstance(from_status(response.error), InvalidArgument),
    )
