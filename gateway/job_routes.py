"""Routes of jobs: start one on a folder, look at it, follow it, cancel it."""

import asyncio
from collections.abc import AsyncIterator
from http import HTTPStatus
from typing import Annotated, cast

from fastapi import APIRouter, Depends, Path, Request, Response
from fastapi.sse import EventSourceResponse, ServerSentEvent
from pydantic import BaseModel, ConfigDict, Field

from domain.reasons import FOLLOWER_LIMIT
from fovea.ingest.v1 import ingest_pb2
from gateway.backends import BackendsOf, Call, CallOf
from gateway.bodies import json_body
from gateway.budget import Budget
from gateway.collections import CollectionName
from gateway.folder_ingest import FolderWork, ingest_folder, open_scan
from gateway.jobs import Job, JobRegistry, JobReport
from gateway.limits import refused
from gateway.messages import model_request
from gateway.problems import BODY_STATUSES, problems
from gateway.settings import GatewaySettings
from rpc.deadline import Deadline
from rpc.errors import service_errors
from sources.roots import ImageRoots

router = APIRouter(tags=["jobs"])

_MAX_JOB_S = 7 * 86_400.0
_EVENT_PERIOD_S = 0.2


Pattern = Annotated[str, Field(max_length=256)]


class Folder(BaseModel):
    """The folder to ingest."""

    model_config = ConfigDict(frozen=True)

    folder: str = Field(description="A folder below the image roots.", min_length=1, examples=["/photos"])
    exclude: tuple[Pattern, ...] = Field(
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


def _jobs(request: Request) -> JobRegistry:
    return cast("JobRegistry", request.app.state.jobs)


JobsOf = Annotated[JobRegistry, Depends(_jobs)]


def _job(jobs: JobsOf, job_id: Annotated[str, Path(description="The job's id.")]) -> Job:
    return jobs.get(job_id)


JobOf = Annotated[Job, Depends(_job)]


async def _follower(request: Request) -> AsyncIterator[None]:
    """A follower stays as long as its job: it gives its place back to those who work, and is counted among its like."""
    followers = cast("Budget", request.app.state.followers)
    with followers.share() as share:
        if not share.grow(1):
            raise refused(FOLLOWER_LIMIT, "too many follow jobs at once; ask for the job itself now and then")
        request.state.place.release()
        yield


@router.post(
    "/collections/{name}/ingest",
    status_code=HTTPStatus.ACCEPTED,
    openapi_extra=model_request(Folder),
    responses=problems(*BODY_STATUSES, 404, 412),
)
async def start_ingest(
    *,
    name: CollectionName,
    body: Annotated[Folder, Depends(json_body(Folder))],
    request: Request,
    response: Response,
    backends: BackendsOf,
    call: CallOf,
    jobs: JobsOf,
) -> JobReport:
    """Ingest a folder; answers with a job to follow."""
    settings = cast("GatewaySettings", request.app.state.settings)
    scan = await asyncio.to_thread(lambda: open_scan(ImageRoots(settings.roots), body.folder, body.exclude))
    with service_errors("ingest"):
        known = ingest_pb2.GetCollectionRequest(name=name)
        await backends.ingest.GetCollection(known, timeout=call.timeout_s, metadata=call.metadata)
    job = Job(name, scan.folder, left_out=scan.left_out)
    work = FolderWork(scan, prune=body.prune or body.prune_empty, prune_empty=body.prune_empty)
    # The job outlives this request, so it has a time of its own.
    jobs.start(job, ingest_folder(job, work, backends, Call(Deadline.after(_MAX_JOB_S), call.request_id)))
    response.headers["Location"] = f"/api/v1/jobs/{job.id}"
    return job.report()


@router.get("/jobs")
async def list_jobs(jobs: JobsOf) -> dict[str, list[JobReport]]:
    """List the jobs that are remembered, the newest first."""
    return {"jobs": [job.report() for job in jobs.all()]}


@router.get("/jobs/{job_id}", responses=problems(404))  # noqa: FAST003 - its dependency takes it
async def get_job(job: JobOf) -> JobReport:
    """Look at a job."""
    return job.report()


@router.get(
    "/jobs/{job_id}/events",  # noqa: FAST003 - its dependency takes it
    response_class=EventSourceResponse,
    dependencies=[Depends(_follower)],
    responses=problems(404),
)
async def follow_job(job: JobOf) -> AsyncIterator[ServerSentEvent]:
    """Follow a job: `progress` events with the whole job, then one `final` event, then the end."""
    while not job.is_final:
        change = job.next_change
        yield ServerSentEvent(event="progress", data=job.report())
        await change.wait()
        await asyncio.sleep(_EVENT_PERIOD_S)
    yield ServerSentEvent(event="final", data=job.report())


@router.delete("/jobs/{job_id}", responses=problems(403, 404))  # noqa: FAST003 - its dependency takes it
async def cancel_job(job: JobOf, jobs: JobsOf) -> JobReport:
    """Cancel a job and answer with its final state; what was taken stays in the collection."""
    jobs.cancel(job)
    while not job.is_final:
        await job.next_change.wait()
    return job.report()
