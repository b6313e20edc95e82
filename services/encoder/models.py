"""The models of one encoder process: loaded, warmed up, each with a thread of its own."""

import logging
from collections.abc import Sequence
from typing import Any, Self

from encoders.bundle import Bundle
from encoders.errors import BundleError
from encoders.serving.session import DetectorSession, EmbeddingSession, Session
from encoders.serving.text import Tokenizer
from rpc.priority import Priority
from services.encoder.batcher import Batcher
from services.encoder.decoders import Decoders
from services.encoder.detector import Detector
from services.encoder.encoder import Encoder
from services.encoder.reading import PictureReader, Reader, TextReader
from services.encoder.settings import EncoderSettings

logger = logging.getLogger(__name__)


class Models:
    """Every bundle that a process serves, by name; as a context manager it runs their threads.

    Making it loads and warms up all bundles, which takes seconds; `BundleError` names the file that cannot be served.
    """

    def __init__(self, settings: EncoderSettings) -> None:
        self.encoders: dict[str, Encoder] = {}
        self.detectors: dict[str, Detector] = {}
        self._settings = settings
        # Each lane decodes on threads and in memory of its own: many large bulk images cannot hold up a query.
        self._decoders = {
            priority: Decoders(settings.decoder_count(), settings.decode_mib << 20) for priority in Priority
        }
        self._batchers: list[Batcher[Any]] = []
        for bundle in _loaded(settings):
            if bundle.kind == "detector":
                self.detectors[bundle.name] = self._detector(bundle)
            else:
                self.encoders[bundle.name] = self._encoder(bundle)

    def __enter__(self) -> Self:
        for batcher in self._batchers:
            batcher.start()
        return self

    def __exit__(self, *raised: object) -> None:
        for decoders in self._decoders.values():
            decoders.close()
        for batcher in self._batchers:
            batcher.stop()

    def are_ready(self) -> bool:
        """Whether every model takes inputs."""
        return all(batcher.is_alive for batcher in self._batchers)

    def _encoder(self, bundle: Bundle) -> Encoder:
        session = EmbeddingSession(bundle, self._settings.session_options())
        return Encoder(session, self._batcher(session), self._reader(bundle), self._decoders)

    def _detector(self, bundle: Bundle) -> Detector:
        session = DetectorSession(bundle, self._settings.session_options())
        return Detector(session, self._batcher(session), self._picture_reader(bundle))

    def _reader(self, bundle: Bundle) -> Reader:
        return TextReader(Tokenizer(bundle)) if bundle.kind == "text" else self._picture_reader(bundle)

    def _picture_reader(self, bundle: Bundle) -> PictureReader:
        return PictureReader(bundle.image_preprocessing, self._decoders)

    def _batcher(self, session: Session[Any]) -> Batcher[Any]:
        session.warm_up()
        bundle, graph = session.bundle, session.graph
        logger.info(
            "model ready",
            extra={
                "model": bundle.name,
                "version": bundle.version,
                "precision": graph.precision,
                "provider": graph.provider,
                "largest_batch": session.largest_batch,
                "short_batch": session.short_batch,
            },
        )
        batcher = Batcher(session, queue_limit=self._settings.queue_limit)
        self._batchers.append(batcher)
        return batcher


def _loaded(settings: EncoderSettings) -> Sequence[Bundle]:
    bundles = [Bundle.load(folder) for folder in settings.bundles]
    names = [bundle.name for bundle in bundles]
    for bundle in bundles:
        if names.count(bundle.name) > 1:
            raise BundleError(f"Two bundles are named {bundle.name!r}; rename one of them in its bundle.json.")
    return bundles
