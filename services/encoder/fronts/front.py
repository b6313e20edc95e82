"""`python -m services.encoder.fronts.front PARENT MODELS`: one front; its parent starts it.

PARENT is the descriptor of the socket to the parent, MODELS the name of the one to the model process, in hex digits.
"""

import logging
import socket
import sys

from encoders.errors import BundleError
from encoders.images.libtiff import silence_libtiff
from rpc.environment import read_settings
from rpc.logs import configure_logging
from rpc.memory import settle_started
from rpc.security.process import Security
from rpc.server import ThreadServer
from rpc.signals import exit_at_signal, wait_for_signal
from services.encoder.batchers import load_bundles
from services.encoder.fronts.parent_watch import ParentWatch
from services.encoder.fronts.remote_models import RemoteModels
from services.encoder.models import Models
from services.encoder.offering import SERVICES, offering
from services.encoder.settings import EncoderSettings

logger = logging.getLogger(__name__)


def main(settings: EncoderSettings, security: Security, parent: socket.socket, address: bytes) -> int:
    """Open the shared port, wait for the model process, and serve until SIGTERM; 1 where a bundle cannot be read."""
    configure_logging(settings.log_level)
    silence_libtiff()
    exit_at_signal()
    watch = ParentWatch(parent)
    watch.start()
    with ThreadServer(settings, services=SERVICES, security=security, reuse_port=True) as server:
        try:
            bundles = {bundle.name: bundle for bundle in load_bundles(settings.bundles)}
            models = Models(settings, RemoteModels(address, bundles, queue_limit=settings.queue_limit))
        except BundleError as error:
            logger.critical("a bundle cannot be served: %s", error)
            return 1
        with models, offering(server, settings, models):
            settle_started()
            watch.is_serving = True
            wait_for_signal()
    return 0


if __name__ == "__main__":
    _parent, _models = socket.socket(fileno=int(sys.argv[1])), bytes.fromhex(sys.argv[2])
    sys.exit(main(read_settings(EncoderSettings), Security.read(), _parent, _models))
