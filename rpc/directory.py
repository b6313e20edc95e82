"""Which processes serve which bundle: asked by Describe, remembered, and asked again when something is missing."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Generic, TypeAlias, TypeVar, cast

import grpc

from domain.modality import Modality
from rpc.clients import DetectorClient, DetectorInfo, EncoderClient, EncoderInfo
from rpc.deadline import Deadline
from rpc.errors import FailedPrecondition, NotFound, ServiceError, Unavailable, Unimplemented
from rpc.replicas import Replica, ReplicaChannel
from rpc.security.process import PLAIN, Security
from rpc.targets import Targets
from rpc.tasks import end, gather

_DESCRIBE_TIMEOUT_S = 2.0
_REFRESH_PERIOD_S = 15.0
_LOST_PERIOD_S = 1.0
_LOST_PAUSE_S = 0.2
# A channel to a process that was not there yet tries again after 2 s at the latest, however long it listens by then.
_START_S = 2.5

logger = logging.getLogger(__name__)

_Client = TypeVar("_Client")
_Info = TypeVar("_Info", EncoderInfo, DetectorInfo)


@dataclass(frozen=True, slots=True)
class ServedBundle(Generic[_Client, _Info]):
    """A bundle and the client of the processes that serve it."""

    client: _Client
    info: _Info


EncoderEntry: TypeAlias = ServedBundle[EncoderClient, EncoderInfo]
DetectorEntry: TypeAlias = ServedBundle[DetectorClient, DetectorInfo]


@dataclass(eq=False)
class _Bundles(Generic[_Client, _Info]):
    """The bundles of one kind by name, each with the replicas that serve it; `identity` is what these must share."""

    kind: str
    client_of: Callable[[grpc.aio.Channel], _Client]
    identity: Callable[[_Info], Any]
    on_lost: Callable[[], None]
    entries: dict[str, ServedBundle[_Client, _Info]] = field(default_factory=dict)
    conflicts: dict[str, tuple[str, list[_Info]]] = field(default_factory=dict)
    claims: list[str] = field(default_factory=list)  # who says that it is the default; the first one counts
    described: dict[Replica, Mapping[str, _Info]] = field(default_factory=dict)
    # Never removed: a stream that holds a client goes on with the processes that serve the name at any time.
    channels: dict[str, ReplicaChannel] = field(default_factory=dict)

    async def learn(self, replica: Replica, describing: Awaitable[list[_Info]]) -> bool:
        """Remembers what a replica serves; False where it does not answer and keeps what it had."""
        # What a process served stays known while it is away: a restart must not make its bundles unknown names.
        try:
            infos = await describing
        except Unimplemented:
            infos = []  # a process serves encoders, detectors or both
        except ServiceError:
            return False
        self.described[replica] = {info.name: info for info in infos}
        return True

    def forget(self, gone: Iterable[Replica]) -> None:
        """Forgets what replicas served that no target stands for any more."""
        for replica in gone:
            self.described.pop(replica, None)

    def update(self, replicas: Sequence[Replica]) -> None:
        """Finds the entries and conflicts among what these replicas serve; what none serves any more is forgotten."""
        names = sorted({name for infos in self.described.values() for name in infos})
        for name in self.channels.keys() - names:
            self.channels[name].replicas = ()
        known = self.conflicts
        self.entries, self.conflicts = {}, {}
        for name in names:
            # A process that is away may have served another bundle before: those that answer decide.
            serving = [replica for replica in replicas if name in self.described.get(replica, {})]
            self._set(name, sorted(serving, key=lambda replica: not replica.answers))
        for name in self.conflicts.keys() - known.keys():
            logger.error("a name stands for several bundles", extra={"cause": self.conflicts[name][0]})
        self._choose_default()

    @property
    def default(self) -> str:
        """The name of the default bundle; empty where none of those that are served is."""
        return next(iter(self.claims), "")

    def _choose_default(self) -> None:
        """Lets one bundle be the default, the first one by name, so that all processes choose the same."""
        former, self.claims = self.claims, [name for name, entry in self.entries.items() if entry.info.is_default]
        for name in self.claims[1:]:
            entry = self.entries[name]
            self.entries[name] = replace(entry, info=replace(entry.info, is_default=False))
        if len(self.claims) > 1 and self.claims != former:
            message = f"{', '.join(self.claims)} all say that they are the default {self.kind}: {self.default} is used"
            logger.warning("several bundles claim to be the default", extra={"cause": message})

    def _set(self, name: str, serving: Sequence[Replica]) -> None:
        infos = [self.described[replica][name] for replica in serving]
        identity = self.identity(infos[0])
        agreeing = [replica for replica in serving if self.identity(self.described[replica][name]) == identity]
        other = next((replica for replica in serving if replica.answers and replica not in agreeing), None)
        if other is not None:
            message = (
                f"{self.kind} {name!r} is served by {serving[0].target} and, with another space or other labels, by "
                f"{other.target}; stop one of them or rename its bundle"
            )
            self.conflicts[name] = message, infos
            return
        channel = self.channels.setdefault(name, ReplicaChannel(name, self.on_lost))
        channel.replicas = agreeing
        self.entries[name] = ServedBundle(self.client_of(cast("grpc.aio.Channel", channel)), infos[0])


class EncoderDirectory:
    """Finds encoders and detectors by name, and encoders by what they can embed into a space.

    Processes that serve the same bundle are its replicas, see `ReplicaChannel`.
    """

    def __init__(self, targets: Sequence[str], security: Security = PLAIN) -> None:
        self.targets = Targets(targets, security)
        self._lost = asyncio.Event()
        self._encoders = _Bundles[EncoderClient, EncoderInfo](
            "encoder", EncoderClient, identity=lambda info: info.space, on_lost=self._lost.set
        )
        self._detectors = _Bundles[DetectorClient, DetectorInfo](
            "detector", DetectorClient, identity=lambda info: info.labels, on_lost=self._lost.set
        )
        self._refreshing = asyncio.Lock()
        self._refreshed_s = 0.0
        self._refresher: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Opens the channels, asks each process once, and goes on asking at intervals."""
        await self.refresh()
        self._refresher = asyncio.create_task(self._refresh_forever(), name="encoder-directory")

    async def close(self) -> None:
        """Ends the asking and closes the channels."""
        if self._refresher is not None:
            await end(self._refresher)
        await self.targets.close()

    async def refresh(self) -> None:
        """Asks every process what it serves; one that is away keeps what it had. Callers at one time share a round."""
        asked_s = asyncio.get_running_loop().time()
        async with self._refreshing:
            # A round that began after this call was made has the news that its caller needs.
            if self._refreshed_s > asked_s:
                return
            self._refreshed_s = asyncio.get_running_loop().time()
            gone = await self.targets.resolve()
            await gather(*map(self._ask, self.targets.replicas))
            for bundles in (self._encoders, self._detectors):
                bundles.forget(gone)
                bundles.update(self.targets.replicas)

    async def encoder(self, name: str) -> EncoderEntry:
        """The encoder called `name`; NotFound, Unavailable while a process is away, FailedPrecondition on a conflict."""
        return await self._entry(self._encoders, name, f"no encoder {name!r} is served")

    async def detector(self, name: str) -> DetectorEntry:
        """The detector called `name`, or for an empty name the default or only one; raises as `encoder` does."""
        if not name:
            await self._refresh_until(lambda: bool(self._detectors.entries))
        served = self._detectors.entries
        name = name or self._detectors.default
        if not name and len(served) > 1:
            raise NotFound(f"several detectors are served; name one of {_listed(served)}")
        missing = f"no detector {name!r} is served" if name else "no detector is served"
        return await self._entry(self._detectors, name or next(iter(served), ""), missing)

    async def default_encoder(self) -> EncoderEntry:
        """The encoder that is used where none is named; NotFound with the choices where no default is served."""
        await self._refresh_until(lambda: bool(self._encoders.default))
        if name := self._encoders.default:
            return self._encoders.entries[name]
        for message, infos in self._encoders.conflicts.values():
            if any(info.is_default for info in infos):
                raise FailedPrecondition(message)
        if away := self._away():
            raise Unavailable(f"no default encoder is served, and these processes do not answer: {', '.join(away)}")
        choices = {name for name, entry in self._encoders.entries.items() if "image" in entry.info.modalities}
        raise NotFound(f"none of the served encoders is the default; name one that embeds images: {_listed(choices)}")

    def suggested_for(self, name: str, space: str) -> str:
        """The default encoder, as far as is known, if images were embedded by a former version of `name`; else empty.

        An encoder that is served as it was has been chosen: nothing better is known for what it is for.
        """
        default, own = (self._encoders.entries.get(each) for each in (self._encoders.default, name))
        is_as_it_was = own is not None and own.info.space == space
        if is_as_it_was or default is None or default.info.space == space or "image" not in default.info.modalities:
            return ""
        return default.info.name

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
        for message, infos in self._encoders.conflicts.values():
            if any(info.space == space and modality in info.modalities for info in infos):
                raise FailedPrecondition(message)
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
        """An encoder of images into `space`, whatever it is called; the one called `name` if it is one of them.

        FailedPrecondition where the one called `name` embeds into another space now and no other serves this one.
        """
        serving = [entry for entry in await self.in_space(space) if "image" in entry.info.modalities]
        if serving:
            return next((entry for entry in serving if entry.info.name == name), serving[0])
        entry = await self.encoder(name)
        if entry.info.space == space:
            return entry
        raise FailedPrecondition(
            f"encoder {name!r} now embeds into space {entry.info.space}, the collection holds {space}; "
            "serve the former bundle again, or move the collection with `fovea reindex`"
        )

    async def _entry(self, bundles: _Bundles[_Client, _Info], name: str, missing: str) -> ServedBundle[_Client, _Info]:
        if name:
            await self._refresh_until(lambda: name in bundles.entries or name in bundles.conflicts)
        if name in bundles.entries:
            return bundles.entries[name]
        if name in bundles.conflicts:
            raise FailedPrecondition(bundles.conflicts[name][0])
        if away := self._away():
            raise Unavailable(f"{missing}, and these processes do not answer: {', '.join(away)}")
        raise NotFound(f"{missing}; served are: {_listed(bundles.entries)}")

    async def _refresh_until(self, is_known: Callable[[], bool]) -> None:
        """Asks until it is known what is looked for; processes that do not answer have a moment to start."""
        give_up_s = asyncio.get_running_loop().time() + _START_S
        while not is_known():
            await self.refresh()
            if is_known() or not self._away() or asyncio.get_running_loop().time() > give_up_s:
                return
            await asyncio.sleep(_LOST_PAUSE_S)

    def _in_space(self, space: str) -> list[EncoderEntry]:
        return [entry for entry in self._encoders.entries.values() if entry.info.space == space]

    def _away(self) -> list[str]:
        return sorted(replica.target for replica in self.targets.replicas if not replica.answers)

    async def _refresh_forever(self) -> None:
        while True:
            self._lost.clear()
            try:
                async with asyncio.timeout(_LOST_PERIOD_S if self._away() else _REFRESH_PERIOD_S):
                    await self._lost.wait()
            except TimeoutError:
                pass
            # Calls that fail one after the other set the event each time; the pause bounds how often processes are asked.
            await asyncio.sleep(_LOST_PAUSE_S)
            await self.refresh()

    async def _ask(self, replica: Replica) -> None:
        deadline, was_there = Deadline.after(_DESCRIBE_TIMEOUT_S), replica.answers
        answered = await gather(
            self._encoders.learn(replica, EncoderClient(replica.channel).describe(deadline=deadline)),
            self._detectors.learn(replica, DetectorClient(replica.channel).describe(deadline=deadline)),
        )
        replica.answers = all(answered)
        if replica.answers != was_there:
            change = "an encoder process answers again" if replica.answers else "an encoder process does not answer"
            logger.warning(change, extra={"target": replica.target})


def _listed(served: Iterable[str]) -> str:
    return ", ".join(sorted(served)) or "none"
