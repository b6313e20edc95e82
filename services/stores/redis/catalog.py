"""What Redis knows: which version of each image lives, and the steps that change it."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

from domain.reasons import NOT_READY
from rpc.deadline import Deadline
from rpc.errors import FailedPrecondition
from services.stores.records import Collection, Counts, Draft, ImageRecord, PutResult, PutStatus, Sealed, Version
from services.stores.redis import scripts
from services.stores.redis.entries import Tombstones, decode_entry, encode_record, fingerprint_of, pending_sha256
from services.stores.redis.jobs import JobCatalog
from services.stores.redis.kept_queries import KeptQueries
from services.stores.redis.locking import Locks
from services.stores.redis.moving import MoveCatalog
from services.stores.redis.rebuilding import ShardRebuild
from services.stores.redis.scripts import Script
from services.stores.redis.scrubbing import ScrubCatalog
from services.stores.redis.shards import PARTS, SHARDS, CatalogLost, Command, RedisShards, by_shard, key, script_call

GENERATION = "@"  # the field of `live` that tells whose records these are


@dataclass(frozen=True, slots=True)
class Begun:
    """A version that may be written now; `replaces` tells whether another lives."""

    version: int
    replaces: bool


@dataclass(frozen=True, slots=True)
class Deletion:
    """An image that is hidden: whether it lived, the version up to which it is deleted, and what can be purged now.

    A version of 0: the image is not hidden, because the collection is sealed.
    """

    lived: bool
    version: int
    purgeable: Tombstones


class RedisCatalog:
    """Records and the write protocol's steps in Redis; what asks a shard that Redis lost raises CatalogLost."""

    def __init__(self, shards: RedisShards) -> None:
        self._shards = shards

    @classmethod
    def open(cls, url: str) -> "RedisCatalog":
        """A catalog on the Redis at `url`, which is asked nothing yet."""
        return cls(RedisShards.open(url))

    async def close(self) -> None:
        """Close the connections."""
        await self._shards.close()

    async def ping(self, deadline: Deadline) -> None:
        """Ask whether Redis answers, and whether it may evict what it was given."""
        # A node of a cluster behind a plain URL answers for its own slots: a key of each shard is asked for.
        await self._shards.run([("EXISTS", key("ping", shard, "live")) for shard in SHARDS], deadline)
        memories = await self._shards.memory(deadline)
        if any(memory.get("maxmemory_policy", "noeviction") != "noeviction" for memory in memories):
            raise FailedPrecondition(
                "Redis may evict what it was given; run it with maxmemory-policy noeviction", reason=NOT_READY
            )

    async def begin(
        self, collection: Collection, drafts: Sequence[Draft], *, token: str, lease_s: float, deadline: Deadline
    ) -> dict[str, Begun | PutResult]:
        """Note versions that are about to be written, by image_id, or the results of those that are not to be written."""
        arguments: dict[str, Sequence[Any]] = {}
        for draft in drafts:
            record, based_on = draft.record, "" if draft.based_on is None else draft.based_on
            entry = (fingerprint_of(record), record.region_count, encode_record(record))
            arguments[record.image_id] = (record.image_id, *entry, based_on)
        calls = _on_images(collection, scripts.BEGIN, arguments, round(lease_s * 1000), token)
        answers = await self._shards.run(calls, deadline)
        return {image_id: _beginning(image_id, answer) for image_id, answer in _by_image(arguments, answers).items()}

    async def commit(self, collection: Collection, versions: Iterable[Version], deadline: Deadline) -> dict[str, bool]:
        """Make pending versions live: from here on they are found. False where another won: it is a tombstone now."""
        arguments = {version.image_id: version for version in versions}
        answers = await self._shards.run(_on_images(collection, scripts.COMMIT, arguments), deadline)
        return {image_id: bool(answer) for image_id, answer in _by_image(arguments, answers).items()}

    async def abort(self, collection: Collection, versions: Iterable[Version], deadline: Deadline) -> None:
        """Make tombstones of versions that do not live: their rows are to be deleted, now and after the quarantine."""
        arguments = {version.image_id: version for version in versions}
        await self._shards.run(_on_images(collection, scripts.ABORT, arguments), deadline)

    async def mark_deleted(
        self, collection: Collection, versions: Mapping[str, int], deadline: Deadline
    ) -> dict[str, Deletion]:
        """Hide images, each up to a version, 0 for all that is known of it."""
        arguments = {image_id: (image_id, version) for image_id, version in versions.items()}
        answers = await self._shards.run(_on_images(collection, scripts.MARK_DELETED, arguments), deadline)
        return {
            image_id: Deletion(lived == 1, version, Tombstones(image_id, purgeable.decode()))
            for image_id, (lived, version, purgeable) in _by_image(arguments, answers).items()
        }

    async def purgeable(
        self, collection: Collection, deadline: Deadline, image_ids: Iterable[str] | None = None
    ) -> list[Tombstones]:
        """The tombstones whose rows can be deleted now, of these images or of all."""
        shards: Mapping[str, Sequence[str]] = dict.fromkeys(SHARDS, ()) if image_ids is None else by_shard(image_ids)
        calls = [script_call(collection, shard, scripts.PURGEABLE, *ids) for shard, ids in shards.items()]
        answers = await self._shards.run(calls, deadline)
        return [Tombstones(image_id.decode(), text.decode()) for image_id, text in chain.from_iterable(answers)]

    async def remove_tombstones(
        self, collection: Collection, tombstones: Iterable[Tombstones], deadline: Deadline
    ) -> None:
        """Forget tombstones whose rows are deleted."""
        arguments = {each.image_id: (each.image_id, each.text) for each in tombstones}
        await self._shards.run(_on_images(collection, scripts.REMOVE_TOMBSTONES, arguments), deadline)

    async def expired_leases(self, collection: Collection, deadline: Deadline) -> list[Version]:
        """The pending versions whose writer did not end in time."""
        calls = [script_call(collection, shard, scripts.EXPIRED_LEASES) for shard in SHARDS]
        answers = chain.from_iterable(await self._shards.run(calls, deadline))
        return [Version(image_id.decode(), number, region_count) for image_id, number, region_count in answers]

    async def records(
        self, collection: Collection, image_ids: Iterable[str], deadline: Deadline
    ) -> dict[str, ImageRecord]:
        """The live records of those of these images that have one."""
        # Also without ids, the answer is that of this very collection.
        shards = by_shard(image_ids) or {SHARDS[0]: []}
        commands = [
            ("HMGET", key(collection.store_name, shard, "live"), GENERATION, *ids) for shard, ids in shards.items()
        ]
        answers = await self._shards.run(commands, deadline)
        _check_generation(collection, (generation for generation, *_ in answers))
        ids = chain.from_iterable(shards.values())
        entries = zip(ids, chain.from_iterable(entries for _, *entries in answers), strict=True)
        return {image_id: decode_entry(image_id, entry) for image_id, entry in entries if entry is not None}

    async def pending_sha256s(self, collection: Collection, deadline: Deadline) -> set[str]:
        """The SHA-256 of the bytes of all images that are being written."""
        calls = [script_call(collection, shard, scripts.PENDING) for shard in SHARDS]
        return set(map(pending_sha256, chain.from_iterable(await self._shards.run(calls, deadline))))

    async def counts(self, collection: Collection, deadline: Deadline) -> Counts:
        """How many images and regions live, and how many images in which no object was found."""
        commands: list[Command] = []
        for shard in SHARDS:
            live, order, state = (key(collection.store_name, shard, part) for part in ("live", "order", "state"))
            commands += [("HGET", live, GENERATION), ("ZCARD", order), ("HMGET", state, "regions", "without_objects")]
        answers = await self._shards.run(commands, deadline)
        _check_generation(collection, answers[::3])
        rows, without_objects = (
            sum(int(count or 0) for count in counts) for counts in zip(*answers[2::3], strict=True)
        )
        return Counts(sum(answers[1::3]), rows - without_objects, without_objects)

    async def ids(self, collection: Collection, *, after: str, limit: int, deadline: Deadline) -> list[str]:
        """Up to `limit` live image_ids behind `after`, in order."""
        lowest = f"({after}" if after else "-"
        found: list[str] = []
        for shard in SHARDS[int(after[0], 16) if after else 0 :]:
            live, order = (key(collection.store_name, shard, part) for part in ("live", "order"))
            members = ("ZRANGEBYLEX", order, lowest, "+", "LIMIT", 0, limit - len(found))
            generation, ids = await self._shards.run([("HGET", live, GENERATION), members], deadline)
            _check_generation(collection, [generation])
            found += [image_id.decode() for image_id in ids]
            if len(found) == limit:
                break
        return found

    async def drop(self, name: str, deadline: Deadline) -> None:
        """Forget all that is known about the collections stored under this name."""
        commands = [("UNLINK", *(key(name, shard, part) for part in PARTS)) for shard in SHARDS]
        await self._shards.run(commands, deadline)

    def moves(self) -> MoveCatalog:
        """The steps of a move to another encoder."""
        return MoveCatalog(self._shards)

    def scrubs(self) -> ScrubCatalog:
        """The steps of a scrub."""
        return ScrubCatalog(self._shards)

    def locks(self, kind: str) -> Locks:
        """The locks of one kind."""
        return Locks(self._shards, kind)

    def jobs(self) -> JobCatalog:
        """The jobs of the ingest service."""
        return JobCatalog(self._shards)

    def kept_queries(self) -> KeptQueries:
        """Queries that are kept for their next pages."""
        return KeptQueries(self._shards)

    def rebuild(self, collection: Collection, shard: str, deadline: Deadline) -> ShardRebuild:
        """A rebuild of one shard, which is yet to begin."""
        return ShardRebuild(self._shards, collection, shard, deadline)


def _on_images(
    collection: Collection, script: Script, arguments: Mapping[str, Sequence[Any]], *shared: Any
) -> list[Command]:
    """A call of a script for each shard, with the arguments of its images behind the shared ones."""
    return [
        script_call(collection, shard, script, *shared, *chain.from_iterable(arguments[each] for each in image_ids))
        for shard, image_ids in by_shard(arguments).items()
    ]


def _check_generation(collection: Collection, generations: Iterable[bytes | None]) -> None:
    """CatalogLost unless all shards hold this very collection."""
    if any(generation != collection.generation.encode() for generation in generations):
        raise CatalogLost


def _by_image(image_ids: Iterable[str], answers: Iterable[Sequence[Any]]) -> dict[str, Any]:
    """The answers of shards by the images that they are about; each shard answers in the order in which it was asked."""
    asked = chain.from_iterable(by_shard(image_ids).values())
    return dict(zip(asked, chain.from_iterable(answers), strict=True))


def _beginning(image_id: str, answer: Sequence[Any]) -> Begun | PutResult:
    match answer:
        case [b"begun", version, replaces]:
            return Begun(version, bool(replaces))
        case [b"unchanged", region_count]:
            return PutResult(image_id, PutStatus.UNCHANGED, region_count=region_count)
        case [b"sealed"]:
            return PutResult(image_id, error=Sealed())
    return PutResult.busy(image_id)
