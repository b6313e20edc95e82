"""Jobs of the ingest service as the HTTP API shows them."""

from dataclasses import dataclass, field
from enum import StrEnum

from pydantic import ConfigDict

from fovea.ingest.v1 import jobs_pb2


class JobState(StrEnum):
    """How far a job is; all but RUNNING are final."""

    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"


class JobKind(StrEnum):
    """What a job does."""

    INGEST = "ingest"
    REINDEX = "reindex"
    SCRUB = "scrub"


class Phase(StrEnum):
    """What a job does at the moment."""

    SCANNING = "scanning"
    INGESTING = "ingesting"
    PRUNING = "pruning"
    EMBEDDING = "embedding"
    CHECKING = "checking"
    FINISHED = "finished"


@dataclass(frozen=True, slots=True)
class Failure:
    """An image that was not ingested, and why."""

    uri: str
    reason: str


@dataclass(frozen=True, slots=True)
class ReasonReport:
    """`count` files that share a reason; the first twenty are named."""

    reason: str
    count: int
    uris: list[str]


@dataclass(frozen=True, slots=True)
class FindingReport:
    """Damage that a scrub found; `image_id` is empty where it is not one image."""

    image_id: str
    damage: str
    repaired: bool
    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class JobReport:
    """A job as its route and its events show it: `done` and `failed` add up to `total`, `rate` is images a second.

    Ingesting a `folder`, `done` is the sum of `added`, `unchanged` and `updated`; `pruned` images were deleted since their
    files are gone, and `moved` of them live on under another name. Objects were looked for in `searched_for_objects` images;
    `without_objects` of them have none and are embedded as a whole. `warnings` and `left_out` name the first twenty files of
    each reason. Reindexing, `done` images have their embedding of the `encoder`, which is empty for the way back. Scrubbing,
    `done` images were checked, `damaged` of them are damaged and `repaired` of those were repaired; the first hundred are
    `findings`.
    """

    # Every field is always sent, so the OpenAPI document calls it required.
    __pydantic_config__ = ConfigDict(json_schema_serialization_defaults_required=True)

    id: str
    collection: str
    kind: JobKind
    folder: str
    encoder: str
    state: JobState
    phase: Phase
    detail: str
    total: int
    done: int
    added: int
    unchanged: int
    updated: int
    failed: int
    failures: list[Failure] = field(default_factory=list)
    pruned: int
    moved: int
    searched_for_objects: int
    without_objects: int
    warnings: list[ReasonReport] = field(default_factory=list)
    left_out: list[ReasonReport] = field(default_factory=list)
    repair: bool
    damaged: int
    repaired: int
    findings: list[FindingReport] = field(default_factory=list)
    rate: float
    elapsed_s: float

    @property
    def is_final(self) -> bool:
        """Whether nothing will change any more."""
        return self.state is not JobState.RUNNING


def report_of(job: jobs_pb2.Job) -> JobReport:
    """The report of a job."""
    return JobReport(
        id=job.id,
        collection=job.collection,
        kind=JobKind(_name(jobs_pb2.JobKind.Name(job.kind), "JOB_KIND_")),
        folder=job.folder,
        encoder=job.encoder,
        state=JobState(_name(jobs_pb2.JobState.Name(job.state), "JOB_STATE_")),
        phase=Phase(_name(jobs_pb2.JobPhase.Name(job.phase), "JOB_PHASE_")),
        detail=job.detail,
        total=job.total_count,
        done=job.done_count,
        added=job.added_count,
        unchanged=job.unchanged_count,
        updated=job.updated_count,
        failed=job.failed_count,
        failures=[Failure(each.uri, each.reason) for each in job.failures],
        pruned=job.pruned_count,
        moved=job.moved_count,
        searched_for_objects=job.searched_for_objects_count,
        without_objects=job.without_objects_count,
        warnings=[ReasonReport(each.reason, each.count, list(each.uris)) for each in job.warnings],
        left_out=[ReasonReport(each.reason, each.count, list(each.uris)) for each in job.left_out],
        repair=job.repair,
        damaged=job.damaged_count,
        repaired=job.repaired_count,
        findings=[FindingReport(each.image_id, each.damage, each.repaired, each.detail) for each in job.findings],
        rate=round(job.rate, 2),
        elapsed_s=round(job.elapsed_s, 2),
    )


def _name(name: str, prefix: str) -> str:
    return name.removeprefix(prefix).lower()
