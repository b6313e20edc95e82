"""A job: what is to be done, how far it is, and the form in which Redis keeps both."""

from dataclasses import dataclass, field
from enum import StrEnum

import orjson
from pydantic import TypeAdapter

from rpc.errors import ServiceError
from services.stores.records import PutStatus
from sources.file_groups import FileGroup

MAX_FAILURES = 100
MAX_FINDINGS = 100


class WorkKind(StrEnum):
    """What a job does."""

    INGEST = "INGEST"
    REINDEX = "REINDEX"
    SCRUB = "SCRUB"


class WorkState(StrEnum):
    """How far a job is; all but RUNNING are final."""

    RUNNING = "RUNNING"
    DONE = "DONE"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"


class JobPhase(StrEnum):
    """What a job does at the moment."""

    SCANNING = "SCANNING"
    INGESTING = "INGESTING"
    PRUNING = "PRUNING"
    EMBEDDING = "EMBEDDING"
    CHECKING = "CHECKING"
    FINISHED = "FINISHED"


FIRST_PHASES = {
    WorkKind.INGEST: JobPhase.SCANNING,
    WorkKind.REINDEX: JobPhase.EMBEDDING,
    WorkKind.SCRUB: JobPhase.CHECKING,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class JobOrder:
    """What is to be done. `space` is that of the collection when a move was asked for."""

    kind: WorkKind
    collection: str
    folder: str = ""
    exclude: tuple[str, ...] = ()
    prune: bool = False
    prune_empty: bool = False
    encoder: str = ""
    rollback: bool = False
    drop_old: bool = False
    space: str = ""
    repair: bool = False


@dataclass(frozen=True, slots=True)
class JobFailure:
    """An image that was not added, and why."""

    uri: str
    reason: str


@dataclass(frozen=True, slots=True)
class JobFinding:
    """Damage that a scrub found, see services/stores/scrubbing.py."""

    image_id: str
    damage: str
    repaired: bool
    detail: str


@dataclass(slots=True, kw_only=True)
class Job:
    """One job and how far it is; everything in it is kept and survives its process.

    The images of a folder are counted in the order of the scan up to `last_uri`: a run that was cut off goes on behind it.
    `seconds` are how long it ran, without the scan of a folder `busy_s`. `fruitless` runs were cut off without progress.
    """

    id: str
    order: JobOrder
    create_time_s: float
    state: WorkState = WorkState.RUNNING
    phase: JobPhase = JobPhase.SCANNING
    detail: str = ""
    last_uri: str = ""
    total: int = 0
    done: int = 0
    failed: int = 0
    added: int = 0
    unchanged: int = 0
    updated: int = 0
    pruned: int = 0
    moved: int = 0
    searched_for_objects: int = 0
    without_objects: int = 0
    failures: list[JobFailure] = field(default_factory=list)
    warnings: tuple[FileGroup, ...] = ()
    left_out: tuple[FileGroup, ...] = ()
    damaged: int = 0
    repaired: int = 0
    findings: list[JobFinding] = field(default_factory=list)
    seconds: float = 0.0
    busy_s: float = 0.0
    fruitless: int = 0

    @property
    def is_final(self) -> bool:
        """Whether nothing will change any more."""
        return self.state is not WorkState.RUNNING

    @property
    def rate(self) -> float:
        """Images a second."""
        return (self.done + self.failed) / self.busy_s if self.busy_s > 0 else 0.0

    @property
    def progress(self) -> tuple[int, ...]:
        """Changes whenever something was done."""
        return (self.done, self.failed, self.pruned, self.damaged)

    def finish(self, state: WorkState, detail: str = "") -> None:
        """Make the state final."""
        self.state, self.detail, self.phase = state, detail, JobPhase.FINISHED

    def forget_images(self) -> None:
        """Count the images of a folder from the first one on."""
        self.last_uri, self.failures, self.warnings = "", [], ()
        self.done = self.failed = self.added = self.unchanged = self.updated = 0
        self.searched_for_objects = self.without_objects = 0

    def added_image(self, status: PutStatus, object_count: int | None) -> None:
        """Count an image that is in the collection now; `object_count` is None where no objects were looked for."""
        self.done += 1
        self.added += status is PutStatus.ADDED
        self.unchanged += status is PutStatus.UNCHANGED
        self.updated += status is PutStatus.UPDATED
        self.searched_for_objects += object_count is not None
        self.without_objects += object_count == 0

    def missed_image(self, uri: str, error: ServiceError) -> None:
        """Count an image that was not added; the first ones are named."""
        self.failed += 1
        if len(self.failures) < MAX_FAILURES:
            self.failures.append(JobFailure(uri, error.message))

    def found(self, finding: JobFinding) -> None:
        """Count damage; the first of it is named."""
        self.damaged += 1
        self.repaired += finding.repaired
        if len(self.findings) < MAX_FINDINGS:
            self.findings.append(finding)

    def as_bytes(self) -> bytes:
        """The form in which it is kept."""
        return orjson.dumps(self)


def job_of(data: bytes) -> Job:
    """The job that was kept."""
    return TypeAdapter(Job).validate_json(data)
