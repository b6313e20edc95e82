"""`python -m services.encoder.fronts`: the parent of several fronts and one model process; the encoder becomes it."""

import logging
import sys
from contextlib import ExitStack

from rpc.environment import read_settings
from rpc.logs import configure_logging
from rpc.signals import exit_at_signal, wait_for_signal
from services.encoder.fronts.count import front_count
from services.encoder.fronts.family import Family
from services.encoder.fronts.listener import listening_socket
from services.encoder.fronts.port import shared_port
from services.encoder.settings import EncoderSettings

logger = logging.getLogger(__name__)


MODEL_PROCESS = "services.encoder.fronts.model_process"


def main(settings: EncoderSettings, model_process: str = MODEL_PROCESS) -> int:
    """Hold the port, start all processes and keep them running until SIGTERM; 1 where one cannot start."""
    configure_logging(settings.log_level)
    exit_at_signal()
    if sys.platform != "linux":
        logger.critical(
            "several fronts share a port and memory as only Linux lets them; leave FOVEA_ENCODER_FRONTS at 1"
        )
        return 1
    with ExitStack() as stack:
        try:
            address = stack.enter_context(shared_port(settings.address))
            if settings.health_port:
                stack.enter_context(shared_port(f"{address.rpartition(':')[0]}:{settings.health_port}"))
        except OSError as error:
            logger.critical("%s", error)
            return 1
        models = stack.enter_context(listening_socket())
        family = Family(settings, front_count(settings), address, models, model_process=model_process)
        stack.enter_context(family)
        wait_for_signal(family.has_failed)
        return 1 if family.has_failed() else 0


if __name__ == "__main__":
    sys.exit(main(read_settings(EncoderSettings)))
