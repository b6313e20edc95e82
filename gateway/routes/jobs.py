"""Routes of jobs: ingest a folder, move a collection to another encoder; read, follow and cancel a job."""

import asyncio
from collections.abc import AsyncIterator
from http import HTTPStatus
from typing import Annotated, cast

from fastapi import APIRouter, Depends, Path, Request, Response
from fastapi.sse import EventSourceResponse, ServerSentEvent
from pydantic import BaseModel, ConfigDict, Field

from fovea.ingest.v1 import ingest_pb2
from gateway.backends import BackendCall, CallOf
from gateway.bodies.json_body import JSON_TYPE, json_body
from gateway.collection_move import CollectionMove
from gateway.folder_ingest import ingest_folder, open_scan
from gateway.jobs import Job, JobKind, JobRegistry, JobReport
from gateway.openapi import BODY_STATUSES, problem_responses, request_body
from gateway.routes.collections import CollectionName
from gateway.settings import GatewaySettings
from rpc.deadline import Deadline
from rpc.errors import Overloaded
from rpc.permits import Permits
from sources.roots import ImageRoots

router = APIRouter(tags=["jobs"])

_MAX_JOB_S = 7 * 86_400.0
_EVENT_PERIOD_S = 0.2


class FolderBody(BaseModel):
    """The folder to ingest."""

    model_config = ConfigDict(frozen=True)

    folder: str = Field(description="A folder below the image roots.", min_length=1, examples=["/photos"])
    exclude: tuple[Annotated[str, Field(max_length=256)], ...] = Field(
        (),
        description="Files and folders to pass over, in .gitignore's syntax, as a `.foveaignore` file does.",
        max_length=100,
        examples=[["*.png", "drafts/"]],
    )
    prune: bool = Field(
        False,
        description="Then delete from the collection what is no longer in the folder; images whose file moved keep their "
        "metadata. Refused where the folder holds no image, as that of an unmounted disk.",
    )
    prune_empty: bool = Field(False, description="Prune even if the folder holds no image.")


class ReindexBody(BaseModel):
    """Where to move a collection."""

    model_config = ConfigDict(frozen=True)

    encoder: str = Field("", description="The bundle to embed with, see /encoders; empty: the default.")
    rollback: bool = Field(
        False, description="Return to the embeddings before the last move instead; `encoder` has to be empty."
    )
    drop_old: bool = Field(False, description="Delete the old embeddings then; there is no rollback after that.")


def _jobs(request: Request) -> JobRegistry:
    return cast("JobRegistry", request.app.state.jobs)


JobsOf = Annotated[JobRegistry, Depends(_jobs)]


def _job(jobs: JobsOf, job_id: Annotated[str, Path(description="The job's id.")]) -> Job:
    return jobs.get(job_id)


JobOf = Annotated[Job, Depends(_job)]


async def _follower(request: Request) -> AsyncIterator[None]:
    """Counts a request that stays as long as its job among the followers, and no longer as one in flight."""
    followers = cast("Permits", request.app.state.followers)
    with followers.acquire():
        request.state.permit.close()
        yield


@router.post(
    "/collections/{name}/ingest",
    status_code=HTTPStatus.ACCEPTED,
    openapi_extra=request_body({JSON_TYPE: {"schema": FolderBody.model_json_schema()}}),
    responses=problem_responses(*BODY_STATUSES, 404, 412),
)
async def start_ingest(
    *,
    name: CollectionName,
    body: Annotated[FolderBody, Depends(json_body(FolderBody))],
    request: Request,
    response: Response,
    call: CallOf,
    jobs: JobsOf,
) -> JobReport:
    """Ingest a folder; answers with a job to follow."""
    settings = cast("GatewaySettings", request.app.state.settings)
    scan = await asyncio.to_thread(lambda: open_scan(ImageRoots(settings.roots), body.folder, body.exclude))
    await call.unary("ingest", call.backends.ingest.GetCollection, ingest_pb2.GetCollectionRequest(name=name))
    job = Job(name, scan.folder, left_out=scan.left_out)
    # The job outlives this request and its deadline, so its calls have one of their own.
    job_call = BackendCall(call.backends, Deadline.after(_MAX_JOB_S), call.request_id)
    work = ingest_folder(job, scan, job_call, prune=body.prune, prune_empty=body.prune_empty)
    jobs.start(job, work)
    response.headers["Location"] = f"/api/v1/jobs/{job.id}"
    return job.report()


@router.post(
    "/collections/{name}/reindex",
    status_code=HTTPStatus.ACCEPTED,
    openapi_extra=request_body({JSON_TYPE: {"schema": ReindexBody.model_json_schema()}}),
    responses=problem_responses(*BODY_STATUSES, 404, 412),
)
async def start_reindex(
    *,
    name: CollectionName,
    body: Annotated[ReindexBody, Depends(json_body(ReindexBody))],
    response: Response,
    call: CallOf,
    jobs: JobsOf,
) -> JobReport:
    """Embed a collection's images with another encoder, while it is searched and added to; answers with a job to follow."""
    message = ingest_pb2.ReindexRequest(
        collection=name, encoder=body.encoder, rollback=body.rollback, drop_old=body.drop_old
    )
    job = Job(name, kind=JobKind.REINDEX, encoder=body.encoder)
    move = await CollectionMove.begin(message, call, max_s=_MAX_JOB_S)
    try:
        jobs.start(job, move.follow(job))
    except Overloaded:
        move.cancel()
        raise
    response.headers["Location"] = f"/api/v1/jobs/{job.id}"
    return job.report()


@router.get("/jobs")
async def list_jobs(jobs: JobsOf) -> dict[str, list[JobReport]]:
    """List the jobs that are remembered, the newest first."""
    return {"jobs": [job.report() for job in jobs.all()]}


@router.get("/jobs/{job_id}", responses=problem_responses(404))  # noqa: FAST003 - its dependency takes it
async def get_job(job: JobOf) -> JobReport:
    """Read a job."""
    return job.report()


@router.get(
    "/jobs/{job_id}/events",  # noqa: FAST003 - its dependency takes it
    response_class=EventSourceResponse,
    dependencies=[Depends(_follower)],
    responses=problem_responses(404),
)
async def follow_job(job: JobOf) -> AsyncIterator[ServerSentEvent]:
    """Follow a job: `progress` events with the whole job, then one `final` event, then the end."""
    while not job.is_final:
        change = job.next_change
        yield ServerSentEvent(event="progress", data=job.report())
        await change.wait()
        # Changes come by the thousand a second; one event for all of this period is enough to draw a bar.
        await asyncio.sleep(_EVENT_PERIOD_S)
    yield ServerSentEvent(event="final", data=job.report())


@router.delete("/jobs/{job_id}", responses=problem_responses(403, 404))  # noqa: FAST003 - its dependency takes it
async def cancel_job(job: JobOf, jobs: JobsOf) -> JobReport:
    """Cancel a job and answer with its final state; what was taken stays in the collection."""
    jobs.cancel(job)
    while not job.is_final:
        await job.next_change.wait()
    return job.report()
