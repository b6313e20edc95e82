"""Files on their way to the ingest service: sent as fast as it accepts them, with one outcome for each, and a report."""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

from google.protobuf.struct_pb2 import Struct
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn

from cli.connections import IngestStub
from cli.output import console, progress_bar, show
from domain.limits import MAX_IMAGE_BYTES
from fovea.ingest.v1 import ingest_pb2
from rpc.errors import InvalidArgument, from_status
from sources.file_groups import FileGroup, FilesByReason

_NAMES_SHOWN = 3

_STATUSES = {
    ingest_pb2.INGEST_STATUS_ADDED: "added",
    ingest_pb2.INGEST_STATUS_UNCHANGED: "unchanged",
    ingest_pb2.INGEST_STATUS_UPDATED: "updated",
    ingest_pb2.INGEST_STATUS_FAILED: "failed",
}

Signature: TypeAlias = tuple[int, int, int]
"""When a file's content and status changed, in ns, and its size in bytes: another signature is another content."""


@dataclass(frozen=True, slots=True)
class FileOutcome:
    """What became of one file: `added`, `unchanged`, `updated` or `failed`, and why it failed.

    `signature` is that of the file before it was read. Another attempt may succeed where the failure `may_pass`.
    `object_count` is how many objects were found, None where none were looked for.
    """

    uri: str
    status: str
    error: str = ""
    warnings: tuple[str, ...] = ()
    signature: Signature | None = None
    may_pass: bool = False
    object_count: int | None = None


@dataclass(slots=True)
class IngestReport:
    """What became of the files so far; a file that failed and succeeded later has not failed.

    Objects were looked for in `searched_for_objects` images, and there was none in `without_objects` of them.
    """

    counts: Counter[str] = field(default_factory=Counter)
    failed: dict[str, FileOutcome] = field(default_factory=dict)
    warnings: FilesByReason = field(default_factory=FilesByReason)
    left_out: FilesByReason = field(default_factory=FilesByReason)
    pruned: int = 0
    moved: int = 0
    searched_for_objects: int = 0
    without_objects: int = 0
    is_dry_run: bool = False
    _answered: int = 0
    _busy_s: float = 0.0
    _last_s: float = field(default_factory=time.monotonic)

    def resume(self) -> None:
        """Files are sent from here on; the time since the last answer does not count for the rate."""
        self._last_s = time.monotonic()

    def add(self, outcome: FileOutcome) -> None:
        """Count one more answer."""
        now_s = time.monotonic()
        self._answered += 1
        self._busy_s += now_s - self._last_s
        self._last_s = now_s
        if outcome.status == "failed":
            self.failed[outcome.uri] = outcome
            return
        self.counts[outcome.status] += 1
        self.failed.pop(outcome.uri, None)
        self.searched_for_objects += outcome.object_count is not None
        self.without_objects += outcome.object_count == 0
        for warning in outcome.warnings:
            self.warnings.add(outcome.uri, warning)

    def forget(self, uris: Iterable[str]) -> None:
        """Forget the failures of files that do not exist any more."""
        for uri in uris:
            self.failed.pop(uri, None)

    @property
    def rate(self) -> float:
        """Files a second while files were sent, up to the last answer."""
        return self._answered / max(self._busy_s, 1e-3)

    def as_json(self) -> dict[str, Any]:
        """All of it as JSON values."""
        return {
            "dry_run": self.is_dry_run,
            **{status: self.counts[status] for status in ("added", "updated", "unchanged")},
            "failed": len(self.failed),
            "pruned": self.pruned,
            "moved": self.moved,
            "searched_for_objects": self.searched_for_objects,
            "without_objects": self.without_objects,
            "rate_per_s": round(self.rate, 1),
            "failures": [{"uri": outcome.uri, "error": outcome.error} for outcome in self.failed.values()],
            "warnings": [asdict(group) for group in self.warnings.listed()],
            "left_out": [asdict(group) for group in self.left_out.listed()],
        }

    def summary(self) -> str:
        """The counts and the rate in a line."""
        counts = self.counts + Counter(failed=len(self.failed), pruned=self.pruned, moved=self.moved)
        listed = ", ".join(f"{count} {status}" for status, count in sorted(counts.items())) or "nothing to do"
        if self.is_dry_run:
            return f"nothing was changed; it would be: {listed}"
        return f"{listed} ({self.rate:.0f} images/s)"

    def show(self) -> None:
        """Print the summary, then images without objects, failures, warnings and what was left out."""
        console().print(self.summary(), markup=False)
        if self.searched_for_objects:
            counted = f"{self.without_objects:,} of {self.searched_for_objects:,} images"
            console().print(f"no object in {counted}; such images are embedded as a whole", markup=False)
        if self.failed:
            show([{"failed": outcome.uri, "why": outcome.error} for outcome in self.failed.values()])
        for heading, groups in (("warning", self.warnings), ("left out", self.left_out)):
            if groups.count:
                show([_row(heading, group) for group in groups.listed()])


async def send_files(
    stub: IngestStub,
    collection: str,
    files: Collection[str],
    metadata: Mapping[str, Struct],
    *,
    keep: bool = True,
    listeners: Sequence[Callable[[FileOutcome], None]] = (),
) -> IngestReport:
    """Send files under a progress bar; listeners are given each outcome."""
    report = IngestReport()
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    rate = TextColumn("{task.fields[rate]:.0f} images/s")
    with progress_bar(*columns, rate, TimeRemainingColumn()) as progress:
        task = progress.add_task(collection, total=len(files), rate=0.0)
        async for outcome in ingest_files(stub, collection, files, metadata, keep=keep):
            for listen in (report.add, *listeners):
                listen(outcome)
            progress.update(task, advance=1, rate=report.rate)
    return report


async def ingest_files(
    stub: IngestStub, collection: str, files: Iterable[str], metadata: Mapping[str, Struct], *, keep: bool
) -> AsyncIterator[FileOutcome]:
    """One outcome for each file, in order of completion; a file's absolute path is its uri and finds its metadata.

    A file without metadata keeps what it has. `keep`: the service copies what lies outside its image roots.
    """
    unreadable: list[FileOutcome] = []
    in_flight: dict[str, Signature] = {}

    async def requests() -> AsyncIterator[ingest_pb2.IngestRequest]:
        # By itself, because there may be no readable file.
        yield ingest_pb2.IngestRequest(collection=collection)
        for file in files:
            try:
                in_flight[file] = signature_of(file)
                image = await asyncio.to_thread(_read, file)
            except OSError as error:
                seen = in_flight.pop(file, None)
                reason = error.strerror or str(error)
                unreadable.append(FileOutcome(file, "failed", reason, signature=seen, may_pass=bool(error.errno)))
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


def _outcome(response: ingest_pb2.IngestResponse, signature: Signature | None) -> FileOutcome:
    return FileOutcome(
        uri=response.uri,
        status=_STATUSES.get(response.status, "failed"),
        # The report names the file; the name of a field would not help.
        error=response.error.message.removeprefix("item.image: ").removeprefix("item."),
        warnings=tuple(response.warnings),
        signature=signature,
        may_pass=response.HasField("error") and not isinstance(from_status(response.error), InvalidArgument),
        object_count=response.object_count if response.HasField("object_count") else None,
    )


def _row(heading: str, group: FileGroup) -> dict[str, str]:
    names = ", ".join(group.uris[:_NAMES_SHOWN])
    more = group.count - min(len(group.uris), _NAMES_SHOWN)
    return {
        heading: str(group.count),
        "why": group.reason,
        "files": f"{names} and {more:,} more" if more else names,
    }
