"""Routes of jobs: ingest a folder, move a collection to another encoder, scrub it; list, read, follow and cancel jobs."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import replace
from http import HTTPStatus
from typing import Annotated, cast

from fastapi import APIRouter, Depends, Path, Request, Response
from fastapi.sse import EventSourceResponse, ServerSentEvent
from pydantic import BaseModel, ConfigDict, Field

from fovea.ingest.v1 import ingest_pb2, jobs_pb2
from gateway.backends import BackendCall, CallOf
from gateway.bodies.json_body import JSON_TYPE, json_body
from gateway.jobs import JobReport, report_of
from gateway.openapi import BODY_STATUSES, problem_responses, request_body
from gateway.routes.collections import CollectionName
from rpc.deadline import Deadline
from rpc.errors import DeadlineExceeded, Overloaded, Unavailable
from rpc.permits import Permits

router = APIRouter(tags=["jobs"])

_EVENT_PERIOD_S = 0.3
# While the ingest service is away, as it is during a restart, those who follow a job wait for it.
_STEP_TIMEOUT_S = 10.0
_PASSING = (DeadlineExceeded, Overloaded, Unavailable)


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


class ScrubBody(BaseModel):
    """How to check a collection."""

    model_config = ConfigDict(frozen=True)

    repair: bool = Field(False, description="Repair what can be repaired; without it damage is only reported.")


JobId = Annotated[str, Path(description="The job's id.")]


async def _follower(request: Request) -> AsyncIterator[None]:
    """Counts a request that stays as long as its job among the followers, and no longer as one in flight."""
    followers = cast("Permits", request.app.state.followers)
    with followers.acquire():
        request.state.permits.close()
        yield


async def _started(request: ingest_pb2.StartJobRequest, call: BackendCall, response: Response) -> JobReport:
    started = await call.unary("ingest", call.backends.ingest.StartJob, request)
    response.headers["Location"] = f"/api/v1/jobs/{started.job.id}"
    return report_of(started.job)


async def _read(job_id: str, call: BackendCall) -> JobReport:
    answer = await call.unary("ingest", call.backends.ingest.GetJob, jobs_pb2.GetJobRequest(id=job_id))
    return report_of(answer.job)


@router.post(
    "/collections/{name}/ingest",
    status_code=HTTPStatus.ACCEPTED,
    openapi_extra=request_body({JSON_TYPE: {"schema": FolderBody.model_json_schema()}}),
    responses=problem_responses(*BODY_STATUSES, 404, 412),
)
async def start_ingest(
    name: CollectionName, body: Annotated[FolderBody, Depends(json_body(FolderBody))], response: Response, call: CallOf
) -> JobReport:
    """Ingest a folder; answers with a job to follow."""
    asked = jobs_pb2.FolderIngestRequest(
        collection=name, folder=body.folder, exclude=body.exclude, prune=body.prune, prune_empty=body.prune_empty
    )
    return await _started(ingest_pb2.StartJobRequest(ingest=asked), call, response)


@router.post(
    "/collections/{name}/reindex",
    status_code=HTTPStatus.ACCEPTED,
    openapi_extra=request_body({JSON_TYPE: {"schema": ReindexBody.model_json_schema()}}),
    responses=problem_responses(*BODY_STATUSES, 404, 412),
)
async def start_reindex(
    name: CollectionName,
    body: Annotated[ReindexBody, Depends(json_body(ReindexBody))],
    response: Response,
    call: CallOf,
) -> JobReport:
    """Embed a collection's images with another encoder, while it is searched and added to; answers with a job to follow."""
    asked = ingest_pb2.ReindexRequest(
        collection=name, encoder=body.encoder, rollback=body.rollback, drop_old=body.drop_old
    )
    return await _started(ingest_pb2.StartJobRequest(reindex=asked), call, response)


@router.post(
    "/collections/{name}/scrub",
    status_code=HTTPStatus.ACCEPTED,
    openapi_extra=request_body({JSON_TYPE: {"schema": ScrubBody.model_json_schema()}}),
    responses=problem_responses(*BODY_STATUSES, 404),
)
async def start_scrub(
    name: CollectionName, body: Annotated[ScrubBody, Depends(json_body(ScrubBody))], response: Response, call: CallOf
) -> JobReport:
    """Look for damage in a collection and, if asked to, repair it; answers with a job to follow, which has the findings."""
    asked = ingest_pb2.ScrubRequest(collection=name, repair=body.repair)
    return await _started(ingest_pb2.StartJobRequest(scrub=asked), call, response)


@router.get("/jobs")
async def list_jobs(call: CallOf) -> dict[str, list[JobReport]]:
    """List the jobs that are remembered, the newest first."""
    answer = await call.unary("ingest", call.backends.ingest.ListJobs, jobs_pb2.ListJobsRequest())
    return {"jobs": [report_of(job) for job in answer.jobs]}


@router.get("/jobs/{job_id}", responses=problem_responses(404))
async def get_job(job_id: JobId, call: CallOf) -> JobReport:
    """Read a job."""
    return await _read(job_id, call)


async def _first(job_id: JobId, call: CallOf) -> JobReport:
    """The job, so that an unknown one is answered with 404 before the events begin."""
    return await _read(job_id, call)


@router.get(
    "/jobs/{job_id}/events",
    response_class=EventSourceResponse,
    dependencies=[Depends(_follower)],
    responses=problem_responses(404),
)
async def follow_job(
    job_id: JobId, request: Request, call: CallOf, report: Annotated[JobReport, Depends(_first)]
) -> AsyncIterator[ServerSentEvent]:
    """Follow a job: `progress` events with the whole job, then one `final` event, then the end."""
    is_closing, shown = cast("asyncio.Event", request.app.state.is_closing), None
    while not report.is_final:
        if report != shown:
            yield ServerSentEvent(event="progress", data=report)
            shown = report
        with suppress(TimeoutError):
            async with asyncio.timeout(_EVENT_PERIOD_S):
                await is_closing.wait()
            return  # browsers connect again, to another gateway or to this one after its restart
        try:
            report = await _read(job_id, replace(call, deadline=Deadline.after(_STEP_TIMEOUT_S)))
        except _PASSING:
            continue
    yield ServerSentEvent(event="final", data=report)


@router.delete("/jobs/{job_id}", responses=problem_responses(403, 404))
async def cancel_job(job_id: JobId, call: CallOf) -> JobReport:
    """Cancel a job and answer with its final state; what was taken stays in the collection."""
    answer = await call.unary("ingest", call.backends.ingest.CancelJob, jobs_pb2.CancelJobRequest(id=job_id))
    return report_of(answer.job)
