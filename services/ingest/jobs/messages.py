"""Messages about jobs to plain values and back."""

from fovea.ingest.v1 import ingest_pb2, jobs_pb2
from rpc.errors import InvalidArgument
from rpc.timestamps import timestamp_message
from services.ingest.jobs.job import Job, JobOrder, WorkKind
from sources.file_groups import FileGroup


def order_of(request: ingest_pb2.StartJobRequest) -> JobOrder:
    """What is to be done; InvalidArgument where nothing is asked for."""
    match request.WhichOneof("work"):
        case "ingest":
            asked = request.ingest
            return JobOrder(
                kind=WorkKind.INGEST,
                collection=asked.collection,
                folder=asked.folder,
                exclude=tuple(asked.exclude),
                prune=asked.prune,
                prune_empty=asked.prune_empty,
            )
        case "reindex":
            move = request.reindex
            return JobOrder(
                kind=WorkKind.REINDEX,
                collection=move.collection,
                encoder=move.encoder,
                rollback=move.rollback,
                drop_old=move.drop_old,
            )
        case "scrub":
            return JobOrder(kind=WorkKind.SCRUB, collection=request.scrub.collection, repair=request.scrub.repair)
    raise InvalidArgument("work: say what to do: ingest, reindex or scrub")


def job_message(job: Job) -> jobs_pb2.Job:
    """A job as callers see it."""
    return jobs_pb2.Job(
        id=job.id,
        collection=job.order.collection,
        kind=jobs_pb2.JobKind.Value(f"JOB_KIND_{job.order.kind}"),
        folder=job.order.folder,
        encoder=job.order.encoder,
        repair=job.order.repair,
        state=jobs_pb2.JobState.Value(f"JOB_STATE_{job.state}"),
        phase=jobs_pb2.JobPhase.Value(f"JOB_PHASE_{job.phase}"),
        detail=job.detail,
        total_count=job.total,
        done_count=job.done,
        failed_count=job.failed,
        added_count=job.added,
        unchanged_count=job.unchanged,
        updated_count=job.updated,
        pruned_count=job.pruned,
        moved_count=job.moved,
        searched_for_objects_count=job.searched_for_objects,
        without_objects_count=job.without_objects,
        failures=[jobs_pb2.JobFailure(uri=each.uri, reason=each.reason) for each in job.failures],
        warnings=map(_group, job.warnings),
        left_out=map(_group, job.left_out),
        damaged_count=job.damaged,
        repaired_count=job.repaired,
        findings=[
            jobs_pb2.JobFinding(image_id=each.image_id, damage=each.damage, repaired=each.repaired, detail=each.detail)
            for each in job.findings
        ],
        rate=job.rate,
        elapsed_s=job.seconds,
        create_time=timestamp_message(job.create_time_s),
    )


def _group(group: FileGroup) -> jobs_pb2.FileGroup:
    return jobs_pb2.FileGroup(reason=group.reason, count=group.count, uris=group.uris)
