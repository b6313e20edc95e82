"""`python -m services.encoder`: serves the bundles that FOVEA_ENCODER_BUNDLES names, over three services on one port."""

import logging
import sys

import grpc

from encoders.errors import BundleError
from encoders.images.libtiff import silence_libtiff
from fovea.detector.v1 import detector_pb2_grpc
from fovea.encoder.v1 import encoder_pb2_grpc
from fovea.oip.v2 import open_inference_pb2_grpc
from rpc.environment import read_settings
from rpc.logs import configure_logging
from rpc.observer import start_metrics
from rpc.server import ThreadServer
from services.encoder.admission import CallAdmission
from services.encoder.data_plane import DataPlane
from services.encoder.detector_servicer import DetectorServicer
from services.encoder.encoder_servicer import EncoderServicer
from services.encoder.models import Models
from services.encoder.oip_servicer import OpenInferenceServicer
from services.encoder.settings import EncoderSettings

SERVICES = ("fovea.encoder.v1.EncoderService", "fovea.detector.v1.DetectorService", "inference.GRPCInferenceService")

logger = logging.getLogger(__name__)


def encoder_server(settings: EncoderSettings, models: Models) -> ThreadServer:
    """The server of these models, not started yet."""
    plane = DataPlane(models, CallAdmission(max_in_flight=settings.max_in_flight, max_time_s=settings.max_time_s))

    def register(server: grpc.Server) -> None:
        encoder_pb2_grpc.add_EncoderServiceServicer_to_server(EncoderServicer(plane), server)
        detector_pb2_grpc.add_DetectorServiceServicer_to_server(DetectorServicer(plane), server)
        open_inference_pb2_grpc.add_GRPCInferenceServiceServicer_to_server(OpenInferenceServicer(plane), server)

    return ThreadServer(settings, services=SERVICES, register=register, is_ready=models.are_ready)


def main(settings: EncoderSettings) -> int:
    """Load, warm up, open the port and serve until SIGTERM; 1 where a bundle cannot be served."""
    configure_logging(settings.log_level)
    silence_libtiff()
    try:
        models = Models(settings)
    except BundleError as error:
        logger.critical("a bundle cannot be served: %s", error)
        return 1
    start_metrics(settings.address, settings.metrics_port)
    with models:
        encoder_server(settings, models).run()
    return 0


if __name__ == "__main__":
    sys.exit(main(read_settings(EncoderSettings)))
