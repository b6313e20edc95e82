"""`python -m services.encoder.fronts.model_process PARENT FRONTS`: the models of all fronts; their parent starts it.

PARENT is the descriptor of the socket to the parent, FRONTS that of the socket on which fronts connect.
"""

import logging
import socket
import sys
from collections.abc import Callable

from encoders.errors import BundleError
from rpc.environment import read_settings
from rpc.logs import configure_logging
from rpc.memory import settle_started
from rpc.signals import exit_at_signal, wait_for_signal
from services.encoder.batchers import Batchers
from services.encoder.fronts.listener import FrontListener
from services.encoder.fronts.parent_watch import ParentWatch
from services.encoder.settings import EncoderSettings

logger = logging.getLogger(__name__)


def main(
    settings: EncoderSettings,
    parent: socket.socket,
    fronts: socket.socket,
    load: Callable[[EncoderSettings], Batchers] = Batchers.load,
) -> int:
    """Load, warm up, and run what fronts submit until SIGTERM; 1 where a bundle cannot be served or a device failed."""
    configure_logging(settings.log_level)
    exit_at_signal()
    watch = ParentWatch(parent)
    watch.start()
    try:
        batchers = load(settings)
    except BundleError as error:
        logger.critical("a bundle cannot be served: %s", error)
        return 1
    with batchers:
        FrontListener(fronts, batchers.queues, slots_per_lane=settings.queue_limit).start()
        settle_started()
        watch.is_serving = True
        wait_for_signal(batchers.have_failed)
    return 1 if batchers.have_failed() else 0


if __name__ == "__main__":
    _parent, _fronts = (socket.socket(fileno=int(number)) for number in sys.argv[1:])
    sys.exit(main(read_settings(EncoderSettings), _parent, _fronts))
