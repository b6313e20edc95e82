"""`python -m services.encoder`: serves the bundles that FOVEA_ENCODER_BUNDLES names."""

import logging
import sys

from encoders.errors import BundleError
from encoders.images.libtiff import silence_libtiff
from rpc.environment import read_settings
from rpc.telemetry import configure_logging, start_metrics
from services.encoder.models import Models
from services.encoder.server import encoder_server
from services.encoder.settings import EncoderSettings

logger = logging.getLogger(__name__)


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
