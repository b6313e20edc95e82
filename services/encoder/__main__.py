"""`python -m services.encoder`: serves the bundles that FOVEA_ENCODER_BUNDLES names, over three services on one port."""

import logging
import os
import sys

from encoders.errors import BundleError
from encoders.images.libtiff import silence_libtiff
from rpc.environment import read_settings
from rpc.logs import configure_logging
from rpc.memory import settle_started
from rpc.observer import start_metrics
from rpc.security.process import Security
from rpc.server import ThreadServer
from rpc.signals import exit_at_signal, wait_for_signal
from rpc.tracing import configure_tracing
from services.encoder.fronts.count import front_count
from services.encoder.models import Models
from services.encoder.offering import SERVICES, offering
from services.encoder.settings import EncoderSettings

logger = logging.getLogger(__name__)


def main(settings: EncoderSettings, security: Security) -> int:
    """Open the port, load, warm up, and serve until SIGTERM; 1 where a bundle cannot be served or a device failed."""
    configure_logging(settings.log_level)
    configure_tracing("encoder")
    silence_libtiff()
    exit_at_signal()
    start_metrics(settings.address, settings.metrics_port)
    with ThreadServer(settings, services=SERVICES, security=security) as server:
        try:
            models = Models(settings)
        except BundleError as error:
            logger.critical("a bundle cannot be served: %s", error)
            return 1
        with models, offering(server, settings, models):
            settle_started()
            wait_for_signal(models.have_failed)
        return 1 if models.have_failed() else 0


def become_parent(fronts: int) -> None:
    """Turn this process into the parent of several fronts, which needs none of what has been imported here."""
    os.environ["FOVEA_ENCODER_FRONTS"] = str(fronts)
    os.execv(sys.executable, [*sys.orig_argv[:-1], "services.encoder.fronts"])  # noqa: S606 - becoming it is the point


if __name__ == "__main__":
    _settings, _security = read_settings(EncoderSettings), Security.read()
    _security.require_protected_server("FOVEA_ENCODER_ADDRESS", _settings.address)
    if (_fronts := front_count(_settings)) > 1:
        become_parent(_fronts)
    sys.exit(main(_settings, _security))
