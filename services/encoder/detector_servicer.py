"""The detector's face to the wire: DetectorService messages to pictures, objects to messages."""

import time
from collections.abc import Mapping

import grpc

from domain.limits import DEFAULT_DETECTIONS, DEFAULT_MIN_SCORE, MAX_DETECTIONS
from encoders.errors import InvalidContent, ModelError
from fovea.detector.v1 import detector_pb2, detector_pb2_grpc
from rpc.errors import InvalidArgument
from rpc.messages import detection_message
from services.encoder.admission import Admission
from services.encoder.answers import pick, service_error, timings_message
from services.encoder.detector import Detector


class DetectorServicer(detector_pb2_grpc.DetectorServiceServicer):
    """Serves the detector bundles of this process."""

    def __init__(self, detectors: Mapping[str, Detector], admission: Admission) -> None:
        self._detectors = detectors
        self._admission = admission

    def Detect(self, request: detector_pb2.DetectRequest, context: grpc.ServicerContext) -> detector_pb2.DetectResponse:
        """Find the objects of one picture."""
        started_s = time.perf_counter()
        detector = pick(self._detectors, request.detector, "detector")
        min_score, limit = _min_score(request), _limit(request)
        try:
            with self._admission.call(context, 1) as call:
                found = detector.detect(request.image, min_score=min_score, limit=limit, call=call)
        except (InvalidContent, ModelError) as error:
            raise service_error(error) from error
        return detector_pb2.DetectResponse(
            detections=[detection_message(detection) for detection in found.detections],
            width_px=found.size.width_px,
            height_px=found.size.height_px,
            timings=timings_message(call.timings, time.perf_counter() - started_s),
            warnings=found.warnings,
        )

    def Describe(
        self,
        request: detector_pb2.DescribeRequest,
        context: grpc.ServicerContext,
    ) -> detector_pb2.DescribeResponse:
        """List the bundles by name."""
        return detector_pb2.DescribeResponse(
            detectors=[_info(self._detectors[name]) for name in sorted(self._detectors)]
        )


def _min_score(request: detector_pb2.DetectRequest) -> float:
    if not request.HasField("min_score"):
        return DEFAULT_MIN_SCORE
    if not 0 <= request.min_score <= 1:  # NaN fails the comparison
        raise InvalidArgument("min_score: must be between 0 and 1")
    return request.min_score


def _limit(request: detector_pb2.DetectRequest) -> int:
    if request.limit < 0:
        raise InvalidArgument("limit: must not be negative")
    return min(request.limit or DEFAULT_DETECTIONS, MAX_DETECTIONS)


def _info(detector: Detector) -> detector_pb2.DetectorInfo:
    bundle = detector.bundle
    return detector_pb2.DetectorInfo(
        name=bundle.name,
        version=bundle.version,
        labels=bundle.labels,
        precision=detector.graph.precision,
        provider=detector.graph.provider,
        sha256=detector.graph.sha256,
    )
