"""`python -m services.encoder.fronts.front PARENT MODELS BOARD ROW`: one front; its parent starts it.

PARENT is the descriptor of the socket to the parent, MODELS the name of the one to the model process in hex digits, BOARD the
descriptor of the board and ROW the number of this front on it.
"""

import logging
import socket
import sys
from collections.abc import Sequence
from dataclasses import dataclass

from encoders.errors import BundleError
from encoders.images.libtiff import silence_libtiff
from rpc.environment import read_settings
from rpc.logs import configure_logging
from rpc.memory import settle_started
from rpc.security.process import Security
from rpc.server import ThreadServer
from rpc.signals import exit_at_signal, wait_for_signal
from rpc.tracing import configure_tracing
from services.encoder.batchers import load_bundles
from services.encoder.fronts.board import BULK, IN_FLIGHT, Board, bounds_of
from services.encoder.fronts.parent_watch import ParentWatch
from services.encoder.fronts.remote_models import RemoteModels
from services.encoder.models import Models
from services.encoder.offering import SERVICES, offering
from services.encoder.settings import EncoderSettings

# What a model process that has loaded its models takes to answer, on a machine that is busy.
_SERVING_S = 1.0

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class FrontArguments:
    """What the parent gives to a front: its socket, the address of the model process, and a row of the board."""

    parent: socket.socket
    models: bytes
    board: int
    row: int

    @classmethod
    def of(cls, arguments: Sequence[str]) -> "FrontArguments":
        """The arguments as they stand on the command line."""
        parent, models, board, row = arguments
        return cls(socket.socket(fileno=int(parent)), bytes.fromhex(models), int(board), int(row))


def main(settings: EncoderSettings, security: Security, arguments: FrontArguments) -> int:
    """Open the shared port, wait for the model process, and serve until SIGTERM; 1 where a bundle cannot be read."""
    configure_logging(settings.log_level)
    configure_tracing("encoder")
    silence_libtiff()
    exit_at_signal()
    watch = ParentWatch(arguments.parent)
    watch.start()
    try:
        serve(settings, security, arguments, watch)
    except BundleError as error:
        logger.critical("a bundle cannot be served: %s", error)
        return 1
    return 0


def serve(settings: EncoderSettings, security: Security, arguments: FrontArguments, watch: ParentWatch) -> None:
    """Serve until SIGTERM; `BundleError` names the file that cannot be read."""
    bundles = {bundle.name: bundle for bundle in load_bundles(settings.bundles)}
    board = Board(arguments.board, arguments.row, bounds_of(list(bundles)))
    remote = RemoteModels(arguments.models, bundles, queue_limit=settings.queue_limit, board=board)
    models = Models(settings, remote)
    # A front that takes the place of another must not take connections that others could serve; at the start all are alike,
    # and health has to answer while the models are loaded.
    remote.try_connect(_SERVING_S)
    server = ThreadServer(settings, services=SERVICES, security=security, tally=board.tally(IN_FLIGHT))
    with server, models, offering(server, settings, models, board.tally(BULK)):
        settle_started()
        watch.is_serving = True
        wait_for_signal()


if __name__ == "__main__":
    sys.exit(main(read_settings(EncoderSettings), Security.read(), FrontArguments.of(sys.argv[1:])))
