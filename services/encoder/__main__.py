"""`python -m services.encoder`: serves the bundles that FOVEA_ENCODER_BUNDLES names, over three services on one port."""

import logging
import sys
from contextlib import AbstractContextManager

import grpc

from encoders.errors import BundleError
from encoders.images.libtiff import silence_libtiff
from fovea.detector.v1 import detector_pb2_grpc
from fovea.encoder.v1 import encoder_pb2_grpc
from fovea.oip.v2 import open_inference_pb2_grpc
from rpc.environment import read_settings
from rpc.garbage import freeze_started
from rpc.logs import configure_logging
from rpc.observer import start_metrics
from rpc.server import ThreadServer
from rpc.signals import exit_at_signal, wait_for_signal
from services.encoder.admission import CallAdmission
from services.encoder.data_plane import DataPlane
from services.encoder.detector_servicer import DetectorServicer
from services.encoder.encoder_servicer import EncoderServicer
from services.encoder.models import Models
from services.encoder.oip_servicer import OpenInferenceServicer
from services.encoder.settings import EncoderSettings

SERVICES = ("fovea.encoder.v1.EncoderService", "fovea.detector.v1.DetectorService", "inference.GRPCInferenceService")

logger = logging.getLogger(__name__)


def offering(server: ThreadServer, settings: EncoderSettings, models: Models) -> AbstractContextManager[None]:
    """These models served by a server that listens; at the end of the block it drains."""
    plane = DataPlane(models, CallAdmission(max_in_flight=settings.max_in_flight, max_time_s=settings.max_time_s))

    def register(target: grpc.Server) -> None:
        encoder_pb2_grpc.add_EncoderServiceServicer_to_server(EncoderServicer(plane), target)
        detector_pb2_grpc.add_DetectorServiceServicer_to_server(DetectorServicer(plane), target)
        open_inference_pb2_grpc.add_GRPCInferenceServiceServicer_to_server(OpenInferenceServicer(plane), target)

    return server.offering(register, models.are_ready)


def main(settings: EncoderSettings) -> int:
    """Open the port, load, warm up, and serve until SIGTERM; 1 where a bundle cannot be served or a device failed."""
    configure_logging(settings.log_level)
    silence_libtiff()
    exit_at_signal()
    start_metrics(settings.address, settings.metrics_port)
    with ThreadServer(settings, services=SERVICES) as server:
        try:
            models = Models(settings)
        except BundleError as error:
            logger.critical("a bundle cannot be served: %s", error)
            return 1
        with models, offering(server, settings, models):
            freeze_started()
            wait_for_signal(models.have_failed)
        return 1 if models.have_failed() else 0


if __name__ == "__main__":
    sys.exit(main(read_settings(EncoderSettings)))
