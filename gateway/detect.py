"""The detection route: the objects of one picture as boxes, so that people can choose one to search with."""

from typing import Annotated, Any

from fastapi import APIRouter, File, Form

from fovea.detector.v1 import detector_pb2
from gateway.backends import BackendsOf, CallOf
from gateway.messages import json_answer, to_json
from rpc.clients import Detection, box_message

router = APIRouter(tags=["detection"])

_Detector = Annotated[str, Form(description="The bundle to use; may be empty where exactly one is served.")]
_MinScore = Annotated[float | None, Form(ge=0, le=1, description="Leave out objects under this score; default 0.5.")]
_Limit = Annotated[int, Form(ge=0, le=1000, description="The most objects to return; 0 means 100.")]


@router.post(
    "/detect", responses={200: json_answer(detector_pb2.DetectResponse.DESCRIPTOR, "The objects, best first.")}
)
async def detect(
    *,
    image: Annotated[bytes, File(description="The picture.")],
    backends: BackendsOf,
    call: CallOf,
    detector: _Detector = "",
    min_score: _MinScore = None,
    limit: _Limit = 0,
) -> dict[str, Any]:
    """Find the objects of one picture."""
    entry = await backends.directory.detector(detector)
    found = await entry.client.detect(
        image, detector=entry.info.name, deadline=call.deadline, min_score=min_score, limit=limit
    )
    answer = detector_pb2.DetectResponse(
        detections=[_detection_message(detection) for detection in found.detections],
        width_px=found.width_px,
        height_px=found.height_px,
        warnings=found.warnings,
    )
    return to_json(answer) | {"detector": entry.info.name}


def _detection_message(detection: Detection) -> detector_pb2.Detection:
    return detector_pb2.Detection(
        box=box_message(detection.box),
        label=detection.label,
        score=detection.score,
        class_id=detection.class_id,
    )
