"""The models of one process: loaded, warmed up, each with a thread of its own."""

import logging
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

from prometheus_client import Gauge

from domain.cores import usable_cores
from encoders.bundle import Bundle
from encoders.errors import BundleError
from encoders.serving.fastest import open_session
from encoders.serving.providers import SessionOptions
from encoders.serving.session import DetectorSession, EmbeddingSession, Session
from services.encoder.batcher import Batcher
from services.encoder.settings import EncoderSettings

MODEL = Gauge(
    "fovea_model",
    "A model that is served and what was chosen for it; always 1.",
    ["model", "version", "precision", "provider", "threads", "largest_batch"],
)

logger = logging.getLogger(__name__)


class Batchers:
    """A batcher for every session, by the name of its bundle; as a context manager it runs their threads."""

    def __init__(self, sessions: Iterable[Session[Any]], *, queue_limit: int) -> None:
        self._batchers = {session.bundle.name: Batcher(session, queue_limit=queue_limit) for session in sessions}

    @classmethod
    def load(cls, settings: EncoderSettings) -> Self:
        """Load and warm up all bundles, which takes seconds; `BundleError` names the file that cannot be served."""
        cores = settings.cores or usable_cores()
        options = SessionOptions(
            provider=settings.provider,
            threads=settings.threads or max(1, cores - 1),
            precision=settings.precision,
            max_batch=settings.max_batch,
            gpu_memory_mib=settings.gpu_memory_mib,
        )
        sessions = [_opened(bundle, options) for bundle in load_bundles(settings.bundles)]
        return cls(sessions, queue_limit=settings.queue_limit)

    def __enter__(self) -> Self:
        for batcher in self._batchers.values():
            batcher.start()
        return self

    def __exit__(self, *raised: object) -> None:
        for batcher in self._batchers.values():
            batcher.stop()

    @property
    def queues(self) -> Mapping[str, Batcher[Any]]:
        """The batchers, by the names of their bundles."""
        return self._batchers

    def are_ready(self) -> bool:
        """Whether every model can run inputs."""
        return all(batcher.is_alive for batcher in self._batchers.values())

    def have_failed(self) -> bool:
        """Whether a model can run nothing any more until this process is started again."""
        return any(batcher.has_failed for batcher in self._batchers.values())


def load_bundles(folders: Sequence[Path]) -> list[Bundle]:
    """The descriptions of bundles, whose names must differ."""
    bundles = [Bundle.load(folder) for folder in folders]
    names = [bundle.name for bundle in bundles]
    for name in names:
        if names.count(name) > 1:
            raise BundleError(f"Two bundles are named {name!r}; rename one of them in its bundle.json.")
    return bundles


def _opened(bundle: Bundle, options: SessionOptions) -> Session[Any]:
    session: Session[Any] = open_session(DetectorSession if bundle.is_detector else EmbeddingSession, bundle, options)
    graph = session.graph
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
    return session
