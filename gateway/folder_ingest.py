"""The work of one job: scan a folder below the image roots and stream what it holds to the ingest service."""

import asyncio
from itertools import islice
from pathlib import Path

from fovea.ingest.v1 import ingest_pb2
from gateway.backends import Backends, Call
from gateway.ingest_stream import ingest
from gateway.jobs import Failure, Job
from rpc.errors import FailedPrecondition, InvalidArgument, NotFound, PermissionDenied, from_status
from sources.errors import MissingSourceError, OutsideRootsError, SourceError
from sources.roots import ImageRoots
from sources.scan import scan_folder

_SCAN_BATCH = 256
_MAX_PICTURES = 1_000_000

_KINDS = {
    ingest_pb2.INGEST_STATUS_ADDED: "added",
    ingest_pb2.INGEST_STATUS_UNCHANGED: "unchanged",
    ingest_pb2.INGEST_STATUS_UPDATED: "updated",
}


def locate_folder(roots: ImageRoots, folder: str) -> Path:
    """The real path of a folder below the roots; touches the disk, raises a ServiceError."""
    try:
        path = roots.resolve(folder)
    except OutsideRootsError as error:
        listed = ", ".join(str(root) for root in roots.folders) or "none are configured"
        raise PermissionDenied(f"folder: {folder} is outside the image roots ({listed})") from error
    except MissingSourceError as error:
        raise NotFound(f"folder: there is no {folder}") from error
    except SourceError as error:
        raise InvalidArgument(f"folder: {error}") from error
    if not path.is_dir():
        raise InvalidArgument(f"folder: {folder} is a file; name the folder that holds it")
    return path


async def ingest_folder(job: Job, folder: Path, backends: Backends, call: Call) -> None:
    """Runs the job to its end; a picture that fails is counted, a service that is away ends the job."""
    uris = await _scan(job, folder)
    job.start_ingesting()
    items = (ingest_pb2.Item(uri=uri) for uri in uris)
    async for response in ingest(backends, job.collection, items, call):
        if response.status in _KINDS:
            job.succeeded(_KINDS[response.status])
        else:
            job.missed(Failure(response.uri, from_status(response.error).message))


async def _scan(job: Job, folder: Path) -> list[str]:
    """Every picture below the folder, counted while it is found."""
    uris: list[str] = []
    try:
        pictures = await asyncio.to_thread(scan_folder, folder)
        while batch := await asyncio.to_thread(lambda: [str(path) for path in islice(pictures, _SCAN_BATCH)]):
            uris += batch
            job.found(len(batch))
            if len(uris) > _MAX_PICTURES:
                raise FailedPrecondition(f"the folder holds more than {_MAX_PICTURES:,} pictures; take its parts")
    except SourceError as error:
        raise FailedPrecondition(f"the folder cannot be read: {error}") from error
    return uris
