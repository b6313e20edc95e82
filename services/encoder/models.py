"""The bundles of one encoder process, each with its reader and its way to a model."""

from collections.abc import Mapping
from typing import Any, Protocol, Self

from prometheus_client import Gauge

from domain.cores import usable_cores
from encoders.bundle import Bundle
from encoders.serving.text import Tokenizer
from rpc.priority import Priority
from services.encoder.batchers import Batchers, load_bundles
from services.encoder.decoders import Decoders
from services.encoder.model_queue import ModelQueue
from services.encoder.readers import ImageReader, TextReader
from services.encoder.served_model import Detector, Encoder, ServedModel
from services.encoder.settings import EncoderSettings

BULK_NICENESS = 10
"""Of threads that decode for the bulk lane: they use what interactive calls and the model leave of the cores."""

CORES = Gauge("fovea_cores", "The cores that this process may use.")


class ModelRunner(Protocol):
    """Where models run: in this process, or in another one."""

    def __enter__(self) -> Self: ...

    def __exit__(self, *raised: object) -> None: ...

    @property
    def queues(self) -> Mapping[str, ModelQueue[Any]]:
        """The way to each model, by the name of its bundle."""

    def are_ready(self) -> bool:
        """Whether every model can run inputs."""

    def have_failed(self) -> bool:
        """Whether a model can run nothing any more until this process is started again."""


class Models:
    """Every bundle that a process serves, by name; as a context manager it runs their threads.

    Making it without a `runner` loads and warms up all bundles, which takes seconds; `BundleError` names the file that
    cannot be served.
    """

    def __init__(self, settings: EncoderSettings, runner: ModelRunner | None = None) -> None:
        self.encoders: dict[str, Encoder] = {}
        self.detectors: dict[str, Detector] = {}
        self._runner = runner or Batchers.load(settings)
        # Each lane decodes on threads and in memory of its own: many large bulk images cannot hold up a query.
        cores = settings.cores or usable_cores()
        CORES.set(cores)
        decoder_count = settings.decode_threads or cores
        max_bytes, niceness = settings.decode_mib << 20, {Priority.INTERACTIVE: 0, Priority.BULK: BULK_NICENESS}
        self._decoders = {
            priority: Decoders(decoder_count, max_bytes, niceness=niceness[priority]) for priority in Priority
        }
        for bundle in load_bundles(settings.bundles):
            served = self.detectors if bundle.is_detector else self.encoders
            served[bundle.name] = self._served(bundle)

    def __enter__(self) -> Self:
        self._runner.__enter__()
        return self

    def __exit__(self, *raised: object) -> None:
        # Decoders first: what they have read by then still finds its model's thread.
        for decoders in self._decoders.values():
            decoders.close()
        self._runner.__exit__(*raised)

    def are_ready(self) -> bool:
        """Whether every model can run inputs."""
        return self._runner.are_ready()

    def have_failed(self) -> bool:
        """Whether a model can run nothing any more until this process is started again."""
        return self._runner.have_failed()

    def _served(self, bundle: Bundle) -> ServedModel[Any]:
        is_text = bundle.kind == "text"
        reader = TextReader(Tokenizer(bundle)) if is_text else ImageReader(bundle.image_preprocessing, self._decoders)
        return ServedModel(bundle, self._runner.queues[bundle.name], reader, self._decoders)
