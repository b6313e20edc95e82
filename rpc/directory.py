"""Which processes serve which bundle: asked by Describe, remembered, and asked again when something is missing."""

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar, cast

import grpc

from domain.modality import Modality
from rpc.clients import DetectorClient, DetectorInfo, EncoderClient, EncoderInfo
from rpc.deadline import Deadline
from rpc.errors import FailedPrecondition, NotFound, ServiceError, Unavailable, Unimplemented
from rpc.replicas import Replica, ReplicaChannel, replicas_of
from rpc.tasks import end

_DESCRIBE_TIMEOUT_S = 2.0
_REFRESH_PERIOD_S = 15.0
_LOST_PERIOD_S = 1.0
_LOST_PAUSE_S = 0.2

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class EncoderEntry:
    """A bundle that embeds, and the client of the processes that serve it."""

    client: EncoderClient
    info: EncoderInfo


@dataclass(frozen=True, slots=True)
class DetectorEntry:
    """A bundle that finds objects, and the client of the processes that serve it."""

    client: DetectorClient
    info: DetectorInfo


_I = TypeVar("_I", EncoderInfo, DetectorInfo)
_E = TypeVar("_E")


@dataclass(frozen=True, slots=True)
class _Conflict(Generic[_I]):
    """One name for several bundles."""

    message: str
    infos: Sequence[_I]


@dataclass(slots=True, eq=False)
class _Process:
    """One replica and what it serves."""

    replica: Replica
    encoders: Mapping[str, EncoderInfo] = field(default_factory=dict)
    detectors: Mapping[str, DetectorInfo] = field(default_factory=dict)


class _Bundles(Generic[_I, _E]):
    """The bundles of one kind by name, each with the replicas that serve it; `identity` is what they must share."""

    def __init__(
        self,
        kind: str,
        *,
        entry_of: Callable[[grpc.aio.Channel, _I], _E],
        identity: Callable[[_I], Any],
        on_lost: Callable[[], None],
    ) -> None:
        self.entries: dict[str, _E] = {}
        self.conflicts: dict[str, _Conflict[_I]] = {}
        self._kind = kind
        self._entry_of: Callable[[grpc.aio.Channel, _I], _E] = entry_of
        self._identity: Callable[[_I], Any] = identity
        self._on_lost = on_lost
        # Kept for good: a stream that holds a client goes on with whichever processes serve the name now.
        self._channels: dict[str, ReplicaChannel] = {}

    def update(self, served: Sequence[tuple[Replica, Mapping[str, _I]]]) -> None:
        """Takes in what each replica serves; what none serves any more is forgotten."""
        names = sorted({name for _, infos in served for name in infos})
        for gone in self._channels.keys() - names:
            self._channels[gone].replicas = ()
        known = self.conflicts
        self.entries, self.conflicts = {}, {}
        for name in names:
            # A process that is away may have served another bundle before: those that answer decide.
            having = [(replica, infos[name]) for replica, infos in served if name in infos]
            self._set(name, sorted(having, key=lambda pair: not pair[0].answers))
        for name in self.conflicts.keys() - known.keys():
            logger.error("a name stands for several bundles", extra={"cause": self.conflicts[name].message})

    def _set(self, name: str, having: Sequence[tuple[Replica, _I]]) -> None:
        first, info = having[0]
        agreeing = [replica for replica, other in having if self._identity(other) == self._identity(info)]
        other = next((replica for replica, _ in having if replica.answers and replica not in agreeing), None)
        if other is not None:
            message = (
                f"{self._kind} {name!r} is served by {first.target} and, with another space or other labels, by "
                f"{other.target}; stop one of them or rename its bundle"
            )
            self.conflicts[name] = _Conflict(message, [info for _, info in having])
            return
        channel = self._channels.setdefault(name, ReplicaChannel(name, self._on_lost))
        channel.replicas = agreeing
        self.entries[name] = self._entry_of(cast("grpc.aio.Channel", channel), info)


class EncoderDirectory:
    """Finds encoders and detectors by name, and encoders by what they can embed into a space.

    Processes that serve the same bundle are its replicas, see `ReplicaChannel`.
    """

    def __init__(self, targets: Sequence[str]) -> None:
        self._targets = targets
        self._processes: list[_Process] = []
        self._lost = asyncio.Event()
        self._encoders = _Bundles[EncoderInfo, EncoderEntry](
            "encoder",
            entry_of=lambda channel, info: EncoderEntry(EncoderClient(channel), info),
            identity=lambda info: info.space,
            on_lost=self._lost.set,
        )
        self._detectors = _Bundles[DetectorInfo, DetectorEntry](
            "detector",
            entry_of=lambda channel, info: DetectorEntry(DetectorClient(channel), info),
            identity=lambda info: info.labels,
            on_lost=self._lost.set,
        )
        self._refreshing = asyncio.Lock()
        self._refreshed_s = 0.0
        self._refresher: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Opens the channels, asks each process once, and goes on asking now and then."""
        self._processes = [_Process(replica) for replica in replicas_of(self._targets)]
        await self.refresh()
        self._refresher = asyncio.create_task(self._refresh_forever(), name="encoder-directory")

    async def close(self) -> None:
        """Ends the asking and closes the channels."""
        if self._refresher is not None:
            await end(self._refresher)
        await asyncio.gather(*(process.replica.channel.close(None) for process in self._processes))

    async def refresh(self) -> None:
        """Asks every process what it serves; one that is away keeps what it had. Callers at one time share a round."""
        asked_s = asyncio.get_running_loop().time()
        async with self._refreshing:
            if self._refreshed_s > asked_s:
                return
            self._refreshed_s = asyncio.get_running_loop().time()
            await asyncio.gather(*map(_ask, self._processes))
            self._encoders.update([(process.replica, process.encoders) for process in self._processes])
            self._detectors.update([(process.replica, process.detectors) for process in self._processes])

    async def encoder(self, name: str) -> EncoderEntry:
        """The encoder called `name`; NotFound, Unavailable while a process is away, FailedPrecondition on a conflict."""
        if name not in self._encoders.entries:
            await self.refresh()
        if name not in self._encoders.entries:
            raise self._missing(name, f"no encoder {name!r} is served", self._encoders)
        return self._encoders.entries[name]

    async def detector(self, name: str) -> DetectorEntry:
        """The detector called `name`, or the only one for an empty name; raises as `encoder` does."""
        if not self._has_detector(name):
            await self.refresh()
        if not name and len(self._detectors.entries) > 1:
            raise NotFound(f"several detectors are served; name one of {_listed(self._detectors.entries)}")
        if not self._has_detector(name):
            wanted = f"no detector {name!r} is served" if name else "no detector is served"
            raise self._missing(name, wanted, self._detectors)
        return self._detectors.entries[name] if name else next(iter(self._detectors.entries.values()))

    async def in_space(self, space: str) -> list[EncoderEntry]:
        """Every encoder whose embeddings belong to `space`."""
        if not self._in_space(space):
            await self.refresh()
        return self._in_space(space)

    async def for_space(self, space: str, modality: Modality) -> EncoderEntry | None:
        """An encoder that embeds `modality` into `space`; None when no such bundle is served."""
        for entry in await self.in_space(space):
            if modality in entry.info.modalities:
                return entry
        for conflict in self._encoders.conflicts.values():
            if any(info.space == space and modality in info.modalities for info in conflict.infos):
                raise FailedPrecondition(conflict.message)
        if away := self._away():
            raise Unavailable(f"an encoder does not answer: {', '.join(away)}")
        return None

    async def encoders(self) -> list[EncoderEntry]:
        """Every encoder, by name."""
        return list(self._encoders.entries.values())

    async def detectors(self) -> list[DetectorEntry]:
        """Every detector, by name."""
        return list(self._detectors.entries.values())

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
        return name in self._detectors.entries if name else bool(self._detectors.entries)

    def _in_space(self, space: str) -> list[EncoderEntry]:
        return [entry for entry in self._encoders.entries.values() if entry.info.space == space]

    def _away(self) -> list[str]:
        return sorted(process.replica.target for process in self._processes if not process.replica.answers)

    def _missing(self, name: str, message: str, bundles: _Bundles[Any, Any]) -> ServiceError:
        if name in bundles.conflicts:
            return FailedPrecondition(bundles.conflicts[name].message)
        if away := self._away():
            return Unavailable(f"{message}, and these processes do not answer: {', '.join(away)}")
        return NotFound(f"{message}; served are: {_listed(bundles.entries)}")

    async def _refresh_forever(self) -> None:
        while True:
            self._lost.clear()
            try:
                async with asyncio.timeout(_LOST_PERIOD_S if self._away() else _REFRESH_PERIOD_S):
                    await self._lost.wait()
            except TimeoutError:
                pass
            # Calls that fail again and again do not make a storm of questions.
            await asyncio.sleep(_LOST_PAUSE_S)
            await self.refresh()


async def _ask(process: _Process) -> None:
    replica, deadline = process.replica, Deadline.after(_DESCRIBE_TIMEOUT_S)
    answers = await asyncio.gather(
        EncoderClient(replica.channel).describe(deadline=deadline),
        DetectorClient(replica.channel).describe(deadline=deadline),
        return_exceptions=True,
    )
    for answer in answers:
        if isinstance(answer, BaseException) and not isinstance(answer, ServiceError):
            raise answer
    encoders, detectors = answers
    # A process serves encoders, detectors or both: the service that it lacks answers UNIMPLEMENTED.
    was_there = replica.answers
    replica.answers = all(isinstance(answer, list | Unimplemented) for answer in answers)
    if replica.answers:
        process.encoders = {info.name: info for info in encoders} if isinstance(encoders, list) else {}
        process.detectors = {info.name: info for info in detectors} if isinstance(detectors, list) else {}
    if replica.answers != was_there:
        said = "an encoder process answers again" if replica.answers else "an encoder process does not answer"
        logger.warning(said, extra={"target": replica.target})


def _listed(served: Mapping[str, Any]) -> str:
    return ", ".join(sorted(served)) or "none"
