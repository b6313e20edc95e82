"""The detection route: the objects of one picture as boxes, so that people can choose one to search with."""

from typing import Any

from fastapi import APIRouter, Request
from pydantic import BaseModel, ConfigDict, Field

from fovea.detector.v1 import detector_pb2
from gateway.backends import BackendsOf, CallOf
from gateway.bodies import read_form, validated
from gateway.forms import MULTIPART_TYPE
from gateway.messages import json_answer, to_json
from gateway.problems import BODY_STATUSES, problems
from rpc.errors import InvalidArgument
from rpc.messages import detection_message

router = APIRouter(tags=["detection"])


class DetectForm(BaseModel):
    """The fields of a detection form beside its picture."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    detector: str = Field("", description="The bundle to use; may be empty where exactly one is served.")
    min_score: float | None = Field(
        None, ge=0, le=1, description="Leave out objects under this score; default 0.5.", allow_inf_nan=False
    )
    limit: int = Field(0, ge=0, le=1000, description="The most objects to return; 0 means 100.")


_FORM_SCHEMA = {
    "type": "object",
    "required": ["image"],
    "properties": {
        "image": {"type": "string", "format": "binary", "description": "The picture."},
        **DetectForm.model_json_schema()["properties"],
    },
}


@router.post(
    "/detect",
    openapi_extra={"requestBody": {"required": True, "content": {MULTIPART_TYPE: {"schema": _FORM_SCHEMA}}}},
    responses={
        200: json_answer(detector_pb2.DetectResponse.DESCRIPTOR, "The objects, best first."),
        **problems(*BODY_STATUSES, 404, 412),
    },
)
async def detect(request: Request, backends: BackendsOf, call: CallOf) -> dict[str, Any]:
    """Find the objects of one picture."""
    form = await read_form(request, max_files=1)
    image = form.file("image")
    if image is None:
        raise InvalidArgument("image: send the picture as a file of a multipart form")
    fields = validated(DetectForm, form.fields)
    entry = await backends.directory.detector(fields.detector)
    found = await entry.client.detect(
        image, detector=entry.info.name, deadline=call.deadline, min_score=fields.min_score, limit=fields.limit
    )
    answer = detector_pb2.DetectResponse(
        detections=map(detection_message, found.detections),
        width_px=found.width_px,
        height_px=found.height_px,
        warnings=found.warnings,
    )
    return to_json(answer) | {"detector": entry.info.name}
