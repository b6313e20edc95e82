"""The work of a job: scan a folder below the image roots, stream its images to the ingest service, prune."""

import asyncio
from collections.abc import Sequence
from itertools import islice
from pathlib import Path

from fovea.ingest.v1 import ingest_pb2
from gateway.backends import BackendCall
from gateway.jobs import Failure, IngestKind, Job
from rpc.errors import FailedPrecondition, InvalidArgument, NotFound, PermissionDenied, from_status
from rpc.stored_images import StoredImages
from sources.errors import MissingSourceError, OutsideRootsError, PatternError, SourceError
from sources.pruning import Pruning
from sources.roots import ImageRoots
from sources.scan import FolderScan

_SCAN_BATCH = 256
_MAX_IMAGES = 1_000_000

_KINDS: dict[int, IngestKind] = {
    ingest_pb2.INGEST_STATUS_ADDED: "added",
    ingest_pb2.INGEST_STATUS_UNCHANGED: "unchanged",
    ingest_pb2.INGEST_STATUS_UPDATED: "updated",
}


def open_scan(roots: ImageRoots, folder: str, exclude: Sequence[str]) -> FolderScan:
    """A scan of a folder below the roots, not started; reads the disk, raises a ServiceError."""
    try:
        return FolderScan(_resolved(roots, folder), exclude=exclude)
    except PatternError as error:
        raise InvalidArgument(f"exclude: {error}") from error
    except SourceError as error:
        raise FailedPrecondition(f"folder: {error}") from error


def _resolved(roots: ImageRoots, folder: str) -> Path:
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


async def ingest_folder(job: Job, scan: FolderScan, call: BackendCall, *, prune: bool, prune_empty: bool) -> None:
    """Ingests a folder; an image that fails is counted, any other error ends the work."""
    try:
        uris = await _scan(job, scan)
        pruning = Pruning[ingest_pb2.Image](scan, uris, empty_ok=prune_empty) if prune or prune_empty else None
        job.start_ingesting()
        items = (ingest_pb2.Item(uri=uri) for uri in uris)
        async for response in call.ingest(job.collection, items):
            if response.status in _KINDS:
                object_count = response.object_count if response.HasField("object_count") else None
                job.succeeded(_KINDS[response.status], response.uri, response.warnings, object_count)
            else:
                job.missed(Failure(response.uri, from_status(response.error).message))
        if pruning:
            job.start_pruning()
            await _prune(job, pruning, call)
    except SourceError as error:
        raise FailedPrecondition(str(error)) from error


async def _scan(job: Job, scan: FolderScan) -> dict[str, None]:
    """The uris of all images in the folder, as an ordered set."""
    uris: dict[str, None] = {}
    found = iter(scan)
    while batch := await asyncio.to_thread(lambda: list(islice(found, _SCAN_BATCH))):
        uris.update(dict.fromkeys(batch))
        job.found(len(batch))
        if len(uris) > _MAX_IMAGES:
            raise FailedPrecondition(f"the folder holds more than {_MAX_IMAGES:,} images; ingest its subfolders")
    return uris


async def _prune(job: Job, pruning: Pruning[ingest_pb2.Image], call: BackendCall) -> None:
    """Copies metadata to where images moved, then deletes the images whose files are gone.

    In this order, because a crash between the two then loses nothing.
    """
    stored = StoredImages(call.backends.ingest, job.collection, call.metadata)
    await pruning.find(stored.all)
    moved = [ingest_pb2.Item(uri=uri, metadata=old.metadata) for uri, old in pruning.metadata_from.items()]
    failed = [response.uri async for response in call.ingest(job.collection, moved) if response.status not in _KINDS]
    deletable = await asyncio.to_thread(lambda: pruning.deletable(failed=failed))
    job.pruned(await stored.delete(deletable), len(pruning.moved.intersection(deletable)))
