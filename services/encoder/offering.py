"""The services of an encoder process on its port."""

from contextlib import AbstractContextManager

import grpc

from fovea.detector.v1 import detector_pb2_grpc
from fovea.encoder.v1 import encoder_pb2_grpc
from fovea.oip.v2 import open_inference_pb2_grpc
from rpc.permits import Tally
from rpc.server import ThreadServer
from services.encoder.admission import CallAdmission
from services.encoder.data_plane import DataPlane
from services.encoder.detector_servicer import DetectorServicer
from services.encoder.encoder_servicer import EncoderServicer
from services.encoder.models import Models
from services.encoder.oip_servicer import OpenInferenceServicer
from services.encoder.settings import EncoderSettings

SERVICES = ("fovea.encoder.v1.EncoderService", "fovea.detector.v1.DetectorService", "inference.GRPCInferenceService")


def offering(
    server: ThreadServer, settings: EncoderSettings, models: Models, bulk: Tally | None = None
) -> AbstractContextManager[None]:
    """These models served by a server that listens; at the end of the block it drains.

    `bulk` counts the bulk calls of several processes that serve together.
    """
    admission = CallAdmission(max_in_flight=settings.max_in_flight, max_time_s=settings.max_time_s, tally=bulk)
    plane = DataPlane(models, admission)

    def register(target: grpc.Server) -> None:
        encoder_pb2_grpc.add_EncoderServiceServicer_to_server(EncoderServicer(plane), target)
        detector_pb2_grpc.add_DetectorServiceServicer_to_server(DetectorServicer(plane), target)
        open_inference_pb2_grpc.add_GRPCInferenceServiceServicer_to_server(OpenInferenceServicer(plane), target)

    return server.offering(register, models.are_ready)
