"""Which process serves which bundle: asked by Describe, remembered, and asked again when something is missing."""

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass

import grpc

from rpc.channel import open_channel
from rpc.clients import DetectorClient, DetectorInfo, EncoderClient, EncoderInfo, Modality
from rpc.deadline import Deadline
from rpc.errors import FailedPrecondition, NotFound, ServiceError, Unavailable, Unimplemented
from rpc.tasks import end

_DESCRIBE_TIMEOUT_S = 2.0
_REFRESH_PERIOD_S = 15.0

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class EncoderEntry:
    """A bundle that embeds, and the client of the process that serves it."""

    client: EncoderClient
    info: EncoderInfo


@dataclass(frozen=True, slots=True)
class DetectorEntry:
    """A bundle that finds objects, and the client of the process that serves it."""

    client: DetectorClient
    info: DetectorInfo


class EncoderDirectory:
    """Finds encoders and detectors by name, and encoders by what they can embed into a space."""

    def __init__(self, targets: Sequence[str]) -> None:
        self._targets = targets
        self._channels: list[grpc.aio.Channel] = []
        self._encoders: dict[str, EncoderEntry] = {}
        self._detectors: dict[str, DetectorEntry] = {}
        self._silent: set[str] = set()
        self._refreshing = asyncio.Lock()
        self._refresher: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Opens the channels, asks each process once, and goes on asking now and then."""
        self._channels = [open_channel(target) for target in self._targets]
        await self.refresh()
        self._refresher = asyncio.create_task(self._refresh_forever(), name="encoder-directory")

    async def close(self) -> None:
        """Ends the asking and closes the channels."""
        if self._refresher is not None:
            await end(self._refresher)
        await asyncio.gather(*(channel.close(None) for channel in self._channels))

    async def refresh(self) -> None:
        """Asks every process what it serves; a silent one keeps the entries that it had."""
        async with self._refreshing:
            await asyncio.gather(*(self._ask(*pair) for pair in zip(self._targets, self._channels, strict=True)))

    async def encoder(self, name: str) -> EncoderEntry:
        """The encoder called `name`; NotFound, or Unavailable while a process is silent."""
        if name not in self._encoders:
            await self.refresh()
        if name not in self._encoders:
            raise self._missing(f"no encoder {name!r} is served", self._encoders)
        return self._encoders[name]

    async def detector(self, name: str) -> DetectorEntry:
        """The detector called `name`, or the only one for an empty name; NotFound or Unavailable without."""
        if not self._has_detector(name):
            await self.refresh()
        if not name and len(self._detectors) > 1:
            raise NotFound(f"several detectors are served; name one of {_listed(self._detectors)}")
        if not self._has_detector(name):
            wanted = f"no detector {name!r} is served" if name else "no detector is served"
            raise self._missing(wanted, self._detectors)
        return self._detectors[name] if name else next(iter(self._detectors.values()))

    async def in_space(self, space: str) -> list[EncoderEntry]:
        """Every encoder whose vectors belong to `space`."""
        if not self._in_space(space):
            await self.refresh()
        return self._in_space(space)

    async def for_space(self, space: str, modality: Modality) -> EncoderEntry | None:
        """An encoder that embeds `modality` into `space`; None when no such bundle is served."""
        for entry in await self.in_space(space):
            if modality in entry.info.modalities:
                return entry
        if self._silent:
            raise Unavailable(f"an encoder does not answer: {', '.join(sorted(self._silent))}")
        return None

    async def encoders(self) -> list[EncoderEntry]:
        """Every encoder, by name."""
        return [self._encoders[name] for name in sorted(self._encoders)]

    async def detectors(self) -> list[DetectorEntry]:
        """Every detector, by name."""
        return [self._detectors[name] for name in sorted(self._detectors)]

    async def checked(self, name: str, space: str) -> EncoderEntry:
        """The encoder called `name`, which must still embed into `space`; FailedPrecondition otherwise."""
        entry = await self.encoder(name)
        if entry.info.space != space:
            await self.refresh()
            entry = await self.encoder(name)
        if entry.info.space != space:
            raise FailedPrecondition(
                f"encoder {name!r} now embeds into space {entry.info.space}, the collection holds {space}; "
                "serve the former bundle again or ingest into a new collection"
            )
        return entry

    def _has_detector(self, name: str) -> bool:
        return name in self._detectors if name else bool(self._detectors)

    def _in_space(self, space: str) -> list[EncoderEntry]:
        return [entry for name, entry in sorted(self._encoders.items()) if entry.info.space == space]

    def _missing(self, message: str, served: dict[str, EncoderEntry] | dict[str, DetectorEntry]) -> ServiceError:
        if self._silent:
            return Unavailable(f"{message}, and these processes do not answer: {', '.join(sorted(self._silent))}")
        return NotFound(f"{message}; served are: {_listed(served)}")

    async def _ask(self, target: str, channel: grpc.aio.Channel) -> None:
        deadline = Deadline.after(_DESCRIBE_TIMEOUT_S)
        encoder, detector = EncoderClient(channel), DetectorClient(channel)
        answers = await asyncio.gather(
            encoder.describe(deadline=deadline), detector.describe(deadline=deadline), return_exceptions=True
        )
        for answer in answers:
            if isinstance(answer, BaseException) and not isinstance(answer, ServiceError):
                raise answer
        encoders, detectors = answers
        # A process serves encoders, detectors or both: the service that it lacks answers UNIMPLEMENTED.
        if any(isinstance(answer, ServiceError) and not isinstance(answer, Unimplemented) for answer in answers):
            self._silent.add(target)
            logger.warning("an encoder process does not answer", extra={"target": target})
            return
        self._silent.discard(target)
        if isinstance(encoders, list):
            self._encoders |= {info.name: EncoderEntry(encoder, info) for info in encoders}
        if isinstance(detectors, list):
            self._detectors |= {info.name: DetectorEntry(detector, info) for info in detectors}

    async def _refresh_forever(self) -> None:
        while True:
            await asyncio.sleep(_REFRESH_PERIOD_S)
            await self.refresh()


def _listed(served: dict[str, EncoderEntry] | dict[str, DetectorEntry]) -> str:
    return ", ".join(sorted(served)) or "none"
