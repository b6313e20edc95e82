"""What an ingest would do, found by comparing files with what is stored: nothing is sent and nothing is changed."""

import asyncio
import hashlib
from pathlib import Path

from cli.connections import IngestStub
from cli.file_ingest import FileOutcome, IngestReport
from cli.folder_ingest import FolderOptions
from cli.ingest_sources import IngestSources
from fovea.ingest.v1 import ingest_pb2
from rpc.errors import NotFound
from rpc.stored_images import StoredImages
from sources.pruning import Pruning


async def dry_run(
    stub: IngestStub, collection: str, sources: IngestSources, options: FolderOptions, *, create: bool
) -> IngestReport:
    """The report that an ingest would have, but for images that cannot be decoded; reads every file that is stored already.

    NotFound where there is no collection, unless it would be created.
    """
    report = IngestReport(is_dry_run=True, left_out=sources.left_out)
    stored = StoredImages(stub, collection)
    try:
        known = {image.uri: image async for image in stored.all() if image.uri in sources.files}
    except NotFound:
        if not create:
            raise
        report.counts["added"] = len(sources.files)
        return report
    for file in sources.files:
        report.add(await asyncio.to_thread(_outcome, file, known.get(file), options))
    for scan in sources.scans if options.prune else ():
        pruning = Pruning[ingest_pb2.Image](scan, sources.files, empty_ok=options.prune_empty)
        await pruning.find(stored.all, described=options.metadata.by_path)
        deletable = await asyncio.to_thread(pruning.deletable)
        report.pruned += len(deletable)
        report.moved += len(pruning.moved.intersection(deletable))
    return report


def _outcome(file: str, stored: ingest_pb2.Image | None, options: FolderOptions) -> FileOutcome:
    """What an ingest of a file would answer."""
    try:
        with Path(file).open("rb") as stream:
            sha256 = hashlib.file_digest(stream, "sha256").hexdigest() if stored else ""
    except OSError as error:
        return FileOutcome(file, "failed", error.strerror or str(error))
    if stored is None:
        return FileOutcome(file, "added")
    metadata = options.metadata.by_path.get(file)
    is_same = sha256 == stored.sha256 and metadata in (None, stored.metadata)
    return FileOutcome(file, "unchanged" if is_same else "updated")
