"""An encoder whose device sleeps instead of computing: what stands before a model that is never the limit.

    FOVEA_ENCODER_BUNDLES='["models/general-2"]' python -m benchmarks.sleeping_device

A batch of 64 takes 3.2 ms, which is 20,000 items a second, and one item .6 ms; the interpreter is free meanwhile. With
FOVEA_ENCODER_FRONTS above 1 the same device stands behind several fronts.
"""

import socket
import sys
import time
from collections.abc import Sequence

import numpy as np

from encoders.bundle import Bundle
from encoders.serving.providers import SessionOptions
from encoders.serving.session import BatchResult, Embedding, EmbeddingSession, ModelInput
from rpc.environment import read_settings
from rpc.logs import configure_logging
from rpc.server import ThreadServer
from rpc.signals import exit_at_signal, wait_for_signal
from services.encoder.batchers import Batchers
from services.encoder.fronts import __main__ as parent
from services.encoder.fronts import model_process
from services.encoder.fronts.count import front_count
from services.encoder.models import Models
from services.encoder.offering import SERVICES, offering
from services.encoder.settings import EncoderSettings

LARGEST_BATCH = 64
ITEMS_PER_S = 20_000
ONE_S = 0.0006
_ITEM_S = (LARGEST_BATCH / ITEMS_PER_S - ONE_S) / (LARGEST_BATCH - 1)


class SleepingSession(EmbeddingSession):
    """Takes the time of a device, and gives every input the same embedding."""

    def __init__(self, bundle: Bundle) -> None:
        super().__init__(bundle, SessionOptions(provider="cpu", threads=1))
        self._try(1)
        self.largest_batch = self.short_batch = LARGEST_BATCH
        self._embedding = np.full(bundle.dimension, bundle.dimension**-0.5, np.float32)

    def run(self, items: Sequence[ModelInput]) -> BatchResult[Embedding]:
        """Stages the batch, as every model does, and sleeps."""
        np.stack(items)
        infer_s = ONE_S + _ITEM_S * (len(items) - 1)
        time.sleep(infer_s)
        return BatchResult([np.tile(self._embedding, (len(items), 1))], self._split, infer_s, infer_s)


def batchers(settings: EncoderSettings) -> Batchers:
    """A device for each bundle."""
    sessions = [SleepingSession(Bundle.load(folder)) for folder in settings.bundles]
    return Batchers(sessions, queue_limit=settings.queue_limit)


def serve(settings: EncoderSettings) -> int:
    """The encoder in one process."""
    configure_logging(settings.log_level)
    exit_at_signal()
    models = Models(settings, batchers(settings))
    with ThreadServer(settings, services=SERVICES) as server, models, offering(server, settings, models):
        wait_for_signal()
    return 0


def main(arguments: Sequence[str]) -> int:
    """The encoder, or the model process of its parent."""
    settings = read_settings(EncoderSettings)
    if arguments:
        watched, fronts = (socket.socket(fileno=int(number)) for number in arguments)
        return model_process.main(settings, watched, fronts, load=batchers)
    if front_count(settings) > 1:
        return parent.main(settings, model_process="benchmarks.sleeping_device")
    return serve(settings)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
