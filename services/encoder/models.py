"""The models of one encoder process: loaded, warmed up, each with a thread of its own."""

import ctypes
import logging
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

from prometheus_client import Gauge

from domain.cores import usable_cores
from encoders.bundle import Bundle
from encoders.errors import BundleError
from encoders.serving.fastest import open_session
from encoders.serving.providers import SessionOptions
from encoders.serving.session import DetectorSession, EmbeddingSession, Session
from encoders.serving.text import Tokenizer
from rpc.priority import Priority
from services.encoder.batcher import Batcher
from services.encoder.decoders import Decoders
from services.encoder.readers import ImageReader, TextReader
from services.encoder.served_model import Detector, Encoder, ServedModel
from services.encoder.settings import EncoderSettings

BULK_NICENESS = 10
"""Of threads that decode for the bulk lane: they use what interactive calls and the model leave of the cores."""

CORES = Gauge("fovea_cores", "The cores that this process may use.")
MODEL = Gauge(
    "fovea_model",
    "A model that is served and what was chosen for it; always 1.",
    ["model", "version", "precision", "provider", "threads", "largest_batch"],
)

logger = logging.getLogger(__name__)


class Models:
    """Every bundle that a process serves, by name; as a context manager it runs their threads.

    Making it loads and warms up all bundles, which takes seconds; `BundleError` names the file that cannot be served.
    """

    def __init__(self, settings: EncoderSettings) -> None:
        self.encoders: dict[str, Encoder] = {}
        self.detectors: dict[str, Detector] = {}
        self._queue_limit = settings.queue_limit
        # Each lane decodes on threads and in memory of its own: many large bulk images cannot hold up a query.
        cores = settings.cores or usable_cores()
        CORES.set(cores)
        decoder_count = settings.decode_threads or cores
        max_bytes, niceness = settings.decode_mib << 20, {Priority.INTERACTIVE: 0, Priority.BULK: BULK_NICENESS}
        self._decoders = {
            priority: Decoders(decoder_count, max_bytes, niceness=niceness[priority]) for priority in Priority
        }
        self._batchers: list[Batcher[Any]] = []
        options = SessionOptions(
            provider=settings.provider,
            threads=settings.threads or max(1, cores - 1),
            precision=settings.precision,
            max_batch=settings.max_batch,
            gpu_memory_mib=settings.gpu_memory_mib,
        )
        for bundle in _load(settings.bundles):
            if bundle.is_detector:
                self.detectors[bundle.name] = self._served(open_session(DetectorSession, bundle, options))
            else:
                self.encoders[bundle.name] = self._served(open_session(EmbeddingSession, bundle, options))
        _give_back_memory()

    def __enter__(self) -> Self:
        for batcher in self._batchers:
            batcher.start()
        return self

    def __exit__(self, *raised: object) -> None:
        # Decoders first: what they have read by then still finds its model's thread.
        for decoders in self._decoders.values():
            decoders.close()
        for batcher in self._batchers:
            batcher.stop()

    def are_ready(self) -> bool:
        """Whether every model can run inputs."""
        return all(batcher.is_alive for batcher in self._batchers)

    def have_failed(self) -> bool:
        """Whether a model can run nothing any more until this process is started again."""
        return any(batcher.has_failed for batcher in self._batchers)

    def _served(self, session: Session[Any]) -> ServedModel[Any]:
        bundle, graph = session.bundle, session.graph
        choices = (graph.precision, graph.provider, session.threads, session.largest_batch)
        MODEL.labels(bundle.name, bundle.version, *map(str, choices)).set(1)
        logger.info(
            "model ready",
            extra={
                "model": bundle.name,
                "version": bundle.version,
                "precision": graph.precision,
                "provider": graph.provider,
                "largest_batch": session.largest_batch,
                "fixed_sizes": session.fixed_sizes,
                "threads": session.threads,
                "short_batch": session.short_batch,
            },
        )
        batcher = Batcher(session, queue_limit=self._queue_limit)
        self._batchers.append(batcher)
        is_text = bundle.kind == "text"
        reader = TextReader(Tokenizer(bundle)) if is_text else ImageReader(bundle.image_preprocessing, self._decoders)
        return ServedModel(session, batcher, reader, self._decoders)


def _give_back_memory() -> None:
    """Return what loading and calibrating freed to the system; glibc keeps it otherwise, about 100 MiB for six models."""
    if sys.platform == "linux" and hasattr(libc := ctypes.CDLL(None), "malloc_trim"):
        libc.malloc_trim(0)


def _load(folders: Sequence[Path]) -> list[Bundle]:
    bundles = [Bundle.load(folder) for folder in folders]
    names = [bundle.name for bundle in bundles]
    for name in names:
        if names.count(name) > 1:
            raise BundleError(f"Two bundles are named {name!r}; rename one of them in its bundle.json.")
    return bundles
