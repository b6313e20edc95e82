"""Routes of the models that are served: list encoders and detectors, detect the objects of an image."""

from dataclasses import asdict
from typing import Any

from fastapi import APIRouter, Request
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from fovea.detector.v1 import detector_pb2
from gateway.backends import CallOf
from gateway.bodies.forms import MULTIPART_TYPE, read_form
from gateway.bodies.json_body import validated
from gateway.bodies.messages import to_json
from gateway.openapi import BODY_STATUSES, json_response, problem_responses, request_body, schema_of
from rpc.clients import DetectorInfo, EncoderInfo
from rpc.errors import InvalidArgument
from rpc.messages import detection_message

router = APIRouter()


class DetectForm(BaseModel):
    """The fields of a detection form besides its image."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    detector: str = Field("", description="The bundle to use; empty: the default, or the only one.")
    min_score: float | None = Field(
        None, ge=0, le=1, description="Leave out objects under this score; default 0.5.", allow_inf_nan=False
    )
    limit: int = Field(0, ge=0, le=1000, description="The most objects to return; 0 means 100.")


_FORM_SCHEMA = {
    "type": "object",
    "required": ["image"],
    "properties": {
        "image": {"type": "string", "format": "binary", "description": "The image."},
        **DetectForm.model_json_schema()["properties"],
    },
}


_SERVED = {
    "type": "object",
    "required": ["encoders", "detectors", "processes"],
    "properties": {
        "encoders": {"type": "array", "items": TypeAdapter(EncoderInfo).json_schema(mode="serialization")},
        "detectors": {"type": "array", "items": TypeAdapter(DetectorInfo).json_schema(mode="serialization")},
        "processes": {
            "type": "object",
            "additionalProperties": {"type": "boolean"},
            "description": "Whether each process that serves them answers, by its address.",
        },
    },
}


@router.get(
    "/encoders",
    tags=["encoders"],
    responses={200: json_response(_SERVED, "The bundles by name; one of each kind is the default, or none.")},
)
async def list_encoders(call: CallOf) -> dict[str, Any]:
    """List the bundles served and what they are for: encoders with spaces and modalities, detectors with labels."""
    await call.backends.directory.refresh()
    encoders = [entry.info for entry in await call.backends.directory.encoders()]
    return {
        "encoders": [asdict(info) | {"modalities": sorted(info.modalities)} for info in encoders],
        "detectors": [asdict(entry.info) for entry in await call.backends.directory.detectors()],
        "processes": {replica.target: replica.answers for replica in call.backends.directory.targets.replicas},
    }


@router.post(
    "/detect",
    tags=["detection"],
    openapi_extra=request_body({MULTIPART_TYPE: {"schema": _FORM_SCHEMA}}),
    responses={
        200: json_response(schema_of(detector_pb2.DetectResponse.DESCRIPTOR), "The objects, best first."),
        **problem_responses(*BODY_STATUSES, 404, 412),
    },
)
async def detect(request: Request, call: CallOf) -> dict[str, Any]:
    """Find the objects of one image."""
    form = await read_form(request, max_files=1)
    image = form.file("image")
    if image is None:
        raise InvalidArgument("image: send the image as a file of a multipart form")
    fields = validated(DetectForm, form.fields)
    entry = await call.backends.directory.detector(fields.detector)
    found = await entry.client.detect(
        image,
        detector=entry.info.name,
        deadline=call.deadline,
        min_score=fields.min_score,
        limit=fields.limit,
        metadata=call.metadata,
    )
    response = detector_pb2.DetectResponse(
        detections=map(detection_message, found.detections),
        width_px=found.width_px,
        height_px=found.height_px,
        warnings=found.warnings,
    )
    return to_json(response) | {"detector": entry.info.name}
