"""The encoder's server: three faces of the same models on one port."""

import grpc

from fovea.detector.v1 import detector_pb2_grpc
from fovea.encoder.v1 import encoder_pb2_grpc
from fovea.oip.v2 import open_inference_pb2_grpc
from rpc.server import ThreadServer
from services.encoder.admission import Admission
from services.encoder.detector_servicer import DetectorServicer
from services.encoder.models import Models
from services.encoder.oip_servicer import OpenInferenceServicer
from services.encoder.servicer import EncoderServicer
from services.encoder.settings import EncoderSettings

SERVICES = ("fovea.encoder.v1.EncoderService", "fovea.detector.v1.DetectorService", "inference.GRPCInferenceService")


def encoder_server(settings: EncoderSettings, models: Models) -> ThreadServer:
    """Put the servicers on a server that is still to be started."""
    admission = Admission(max_in_flight=settings.max_in_flight, max_time_s=settings.max_time_s)

    def register(server: grpc.Server) -> None:
        encoder_pb2_grpc.add_EncoderServiceServicer_to_server(EncoderServicer(models.encoders, admission), server)
        detector_pb2_grpc.add_DetectorServiceServicer_to_server(DetectorServicer(models.detectors, admission), server)
        open_inference_pb2_grpc.add_GRPCInferenceServiceServicer_to_server(
            OpenInferenceServicer(models.encoders, models.detectors, admission, is_ready=models.are_ready), server
        )

    return ThreadServer(settings, services=SERVICES, register=register, is_ready=models.are_ready)
