"""DetectorService: its messages to images of the data plane, objects to messages."""

import grpc

from domain.limits import DEFAULT_DETECTIONS, DEFAULT_MIN_SCORE, MAX_DETECTIONS
from fovea.detector.v1 import detector_pb2, detector_pb2_grpc
from rpc.errors import InvalidArgument
from rpc.messages import detection_message
from services.encoder.data_plane import DataPlane
from services.encoder.encoder_servicer import timings_message
from services.encoder.served_model import Detector


class DetectorServicer(detector_pb2_grpc.DetectorServiceServicer):
    """Serves the detector bundles of this process."""

    def __init__(self, plane: DataPlane) -> None:
        self._plane = plane

    def Detect(self, request: detector_pb2.DetectRequest, context: grpc.ServicerContext) -> detector_pb2.DetectResponse:
        """Find the objects of one image."""
        detector = self._plane.detector(request.detector)
        min_score, limit = _min_score(request), _limit(request)
        detected, timings = self._plane.detect(detector, request.image, context, min_score=min_score, limit=limit)
        return detector_pb2.DetectResponse(
            detections=map(detection_message, detected.detections),
            width_px=detected.width_px,
            height_px=detected.height_px,
            timings=timings_message(timings),
            warnings=detected.warnings,
        )

    def Describe(
        self, request: detector_pb2.DescribeRequest, context: grpc.ServicerContext
    ) -> detector_pb2.DescribeResponse:
        """List the bundles by name."""
        detectors = [_info(detector) for _, detector in sorted(self._plane.detectors.items())]
        return detector_pb2.DescribeResponse(detectors=detectors)


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
    bundle, choices = detector.bundle, detector.choices
    return detector_pb2.DetectorInfo(
        name=bundle.name,
        version=bundle.version,
        labels=bundle.labels,
        precision=choices.precision,
        provider=choices.provider,
        sha256=choices.sha256,
        purpose=bundle.purpose,
        domain=bundle.domain,
        is_default=bundle.is_default,
        languages=bundle.languages,
        license=bundle.licence,
    )
