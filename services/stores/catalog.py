"""What Redis knows: which version of each picture lives, and the steps that change it."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from domain.reasons import NOT_READY
from rpc.deadline import Deadline
from rpc.errors import FailedPrecondition
from services.stores import scripts
from services.stores.entries import decode_entry, encode_entry, pending_sha256
from services.stores.records import Collection, Counts, ImageRecord
from services.stores.shards import (
    GENERATION,
    LOCK,
    PARTS,
    SHARDS,
    RedisShards,
    by_shard,
    check_generation,
    key,
    shard_key,
)
from services.stores.tombstones import Version, tombstones_of


@dataclass(frozen=True, slots=True)
class Draft:
    """A version to begin; `based_on` is the live version that its content was made from, 0 for none, None for any."""

    image_id: str
    fingerprint: str
    region_count: int
    record: bytes
    based_on: int | None = None

    @property
    def arguments(self) -> list[Any]:
        """What BEGIN is told."""
        based_on = "" if self.based_on is None else self.based_on
        return [self.image_id, self.fingerprint, self.region_count, self.record, based_on]


@dataclass(frozen=True, slots=True)
class Begun:
    """A version that may be written now; `replaces` tells whether another lives."""

    version: int
    replaces: bool


@dataclass(frozen=True, slots=True)
class Unchanged:
    """The same bytes and metadata live already."""

    region_count: int


@dataclass(frozen=True, slots=True)
class Busy:
    """Somebody else is writing this picture."""


@dataclass(frozen=True, slots=True)
class Retired:
    """An image that is hidden: whether it lived, the version up to which it is deleted, and its `due` tombstones."""

    lived: bool
    version: int
    due: str


@dataclass(frozen=True, slots=True)
class Rebuilt:
    """What a rebuild found about one image: its live version, if any, the versions to delete, and its last deletion."""

    image_id: str
    record: ImageRecord | None
    dead: tuple[Version, ...]
    deleted_to: int = 0


class RedisCatalog:
    """Records and the write protocol's steps in Redis; what asks a shard that Redis lost raises CatalogLost."""

    def __init__(self, shards: RedisShards, quarantine_s: float = scripts.QUARANTINE_S) -> None:
        self._shards = shards
        self._quarantine_ms = round(quarantine_s * 1000)

    @classmethod
    def open(cls, url: str, quarantine_s: float = scripts.QUARANTINE_S) -> "RedisCatalog":
        """A catalog on the Redis at `url`, which is asked nothing yet."""
        return cls(RedisShards.open(url), quarantine_s)

    async def close(self) -> None:
        """Close the connections."""
        await self._shards.close()

    async def ping(self, deadline: Deadline) -> None:
        """Ask whether Redis answers, and whether it may forget what it was told."""
        # A node of a cluster answers INFO whatever it holds, so a key is asked for too.
        memory, _ = await self._shards.run([("INFO", "memory"), ("EXISTS", "fovea:ping")], deadline)
        if memory.get("maxmemory_policy", "noeviction") != "noeviction":
            raise FailedPrecondition(
                "Redis may evict what it was told; run it with maxmemory-policy noeviction", reason=NOT_READY
            )

    async def begin(
        self, collection: Collection, drafts: Sequence[Draft], *, token: str, lease_s: float, deadline: Deadline
    ) -> dict[str, Begun | Unchanged | Busy]:
        """Note versions that are about to be written, by image_id; the same token begins the same version again."""
        arguments = {draft.image_id: draft.arguments for draft in drafts}
        shared = [round(lease_s * 1000), token]
        answers = await self._on_images(collection, scripts.BEGIN, arguments, deadline, shared=shared)
        return {image_id: _beginning(answer) for image_id, answer in answers.items()}

    async def commit(self, collection: Collection, versions: Iterable[Version], deadline: Deadline) -> dict[str, bool]:
        """Make pending versions live: from here on they are found. False where another won: it is a tombstone now."""
        answers = await self._on_images(collection, scripts.COMMIT, _arguments(versions), deadline)
        return {image_id: bool(answer) for image_id, answer in answers.items()}

    async def abandon(self, collection: Collection, versions: Iterable[Version], deadline: Deadline) -> None:
        """Make tombstones of versions that do not live: their rows are to be deleted, now and after the quarantine."""
        await self._on_images(collection, scripts.ABANDON, _arguments(versions), deadline)

    async def retire(
        self, collection: Collection, versions: Mapping[str, int], deadline: Deadline
    ) -> dict[str, Retired]:
        """Hide images, each up to a version, 0 for all that is known of it."""
        arguments = {image_id: [image_id, version] for image_id, version in versions.items()}
        answers = await self._on_images(collection, scripts.RETIRE, arguments, deadline)
        fields = {image_id: answer.decode().split(" ") for image_id, answer in answers.items()}
        return {
            image_id: Retired(lived == "1", int(version), due) for image_id, (lived, version, due) in fields.items()
        }

    async def bury(self, collection: Collection, dead: Mapping[str, str], deadline: Deadline) -> None:
        """Forget tombstones whose rows are deleted."""
        arguments = {image_id: [image_id, tombstones] for image_id, tombstones in dead.items()}
        await self._on_images(collection, scripts.BURY, arguments, deadline)

    async def due(self, collection: Collection, deadline: Deadline) -> dict[str, str]:
        """By image_id all tombstones whose rows can be deleted now, as `bury` takes them."""
        return await self._due(collection, {shard: [] for shard in SHARDS}, deadline)

    async def due_of(self, collection: Collection, image_ids: Iterable[str], deadline: Deadline) -> dict[str, str]:
        """What `due` says about these images."""
        return await self._due(collection, by_shard(image_ids), deadline)

    async def _due(
        self, collection: Collection, shards: Mapping[str, Sequence[str]], deadline: Deadline
    ) -> dict[str, str]:
        answers = await self._on_shards(collection, scripts.DUE, shards, deadline)
        return dict(answer.decode().split(" ") for each in answers.values() for answer in each)

    async def overdue(self, collection: Collection, deadline: Deadline) -> list[Version]:
        """The pending versions whose lease ran out."""
        answers = await self._on_shards(collection, scripts.OVERDUE, {shard: [] for shard in SHARDS}, deadline)
        fields = [entry.decode().split() for answer in answers.values() for entry in answer]
        return [Version(image_id, int(number), int(regions)) for image_id, number, regions in fields]

    async def records(
        self, collection: Collection, image_ids: Iterable[str], deadline: Deadline
    ) -> dict[str, ImageRecord]:
        """The live records of those of these pictures that have one."""
        entries = await self._shards.live(collection, image_ids, deadline)
        return {image_id: decode_entry(image_id, entry) for image_id, entry in entries.items()}

    async def pending_sha256s(self, collection: Collection, deadline: Deadline) -> set[str]:
        """The SHA-256 of the bytes of all images that are being written."""
        answers = await self._on_shards(collection, scripts.PENDING, {shard: [] for shard in SHARDS}, deadline)
        return {pending_sha256(entry) for each in answers.values() for entry in each}

    async def counts(self, collection: Collection, deadline: Deadline) -> Counts:
        """How many pictures and regions live."""
        commands = [
            command
            for shard in SHARDS
            for command in (
                ("HGET", key(collection, shard, "live"), GENERATION),
                ("ZCARD", key(collection, shard, "order")),
                ("HGET", key(collection, shard, "state"), "regions"),
            )
        ]
        answers = await self._shards.run(commands, deadline)
        check_generation(collection, answers[::3])
        return Counts(image_count=sum(answers[1::3]), region_count=sum(int(count or 0) for count in answers[2::3]))

    async def ids(self, collection: Collection, *, after: str, limit: int, deadline: Deadline) -> list[str]:
        """Up to `limit` live image_ids behind `after`, in order."""
        lowest = f"({after}" if after else "-"
        found: list[str] = []
        for shard in SHARDS[int(after[0], 16) if after else 0 :]:
            whose = ("HGET", key(collection, shard, "live"), GENERATION)
            members = ("ZRANGEBYLEX", key(collection, shard, "order"), lowest, "+", "LIMIT", 0, limit - len(found))
            generation, ids = await self._shards.run([whose, members], deadline)
            check_generation(collection, [generation])
            found += [image_id.decode() for image_id in ids]
            if len(found) == limit:
                break
        return found

    async def drop(self, name: str, deadline: Deadline) -> None:
        """Forget all that is known about the collections of this name."""
        parts = (*PARTS, LOCK)
        commands = [("UNLINK", *(shard_key(name, shard, part) for part in parts)) for shard in SHARDS]
        await self._shards.run(commands, deadline)

    async def rebuild_begin(
        self, collection: Collection, shard: str, *, token: str, lease_s: float, deadline: Deadline
    ) -> str:
        """Empty a shard for a rebuild: "begun"; "whole" where it needs none, "busy" where another rebuilds it."""
        arguments = [token, round(lease_s * 1000), collection.generation]
        return str((await self._rebuild(collection, shard, scripts.REBUILD_BEGIN, arguments, deadline)).decode())

    async def rebuild_add(
        self,
        collection: Collection,
        shard: str,
        found: Sequence[Rebuilt],
        *,
        token: str,
        lease_s: float,
        deadline: Deadline,
    ) -> None:
        """Write what a rebuild found."""
        arguments: list[Any] = [token, round(lease_s * 1000)]
        for each in found:
            entry = encode_entry(each.record) if each.record else b""
            arguments += [each.image_id, entry, each.record.region_count if each.record else 0]
            arguments.append(tombstones_of(each.dead, each.deleted_to, self._quarantine_ms))
        await self._rebuild(collection, shard, scripts.REBUILD_ADD, arguments, deadline)

    async def rebuild_release(self, collection: Collection, shard: str, *, token: str, deadline: Deadline) -> None:
        """Leave a rebuild that failed to the next one."""
        await self._rebuild(collection, shard, scripts.REBUILD_RELEASE, [token], deadline)

    async def rebuild_end(self, collection: Collection, shard: str, *, token: str, deadline: Deadline) -> None:
        """Open a rebuilt shard for writes."""
        await self._rebuild(collection, shard, scripts.REBUILD_END, [token, collection.generation], deadline)

    async def _rebuild(
        self, collection: Collection, shard: str, script: str, arguments: Sequence[Any], deadline: Deadline
    ) -> Any:
        keys = [key(collection, shard, part) for part in (*PARTS, LOCK)]
        [answer] = await self._shards.run([("EVAL", script, len(keys), *keys, *arguments)], deadline)
        return answer

    async def _on_shards(
        self, collection: Collection, script: str, arguments: Mapping[str, Sequence[Any]], deadline: Deadline
    ) -> dict[str, Any]:
        """Run a script on shards; its answers by shard."""
        full = {shard: [self._quarantine_ms, *more] for shard, more in arguments.items()}
        return await self._shards.on_shards(collection, script, full, deadline)

    async def _on_images(
        self,
        collection: Collection,
        script: str,
        arguments: Mapping[str, Sequence[Any]],
        deadline: Deadline,
        *,
        shared: Sequence[Any] = (),
    ) -> dict[str, Any]:
        """Run a script that takes arguments for each image_id, behind the shared ones; its answers by image_id."""
        shards = by_shard(arguments)
        flat = {
            shard: [*shared, *(argument for image_id in ids for argument in arguments[image_id])]
            for shard, ids in shards.items()
        }
        answers = await self._on_shards(collection, script, flat, deadline)
        return {
            image_id: answer
            for shard, ids in shards.items()
            for image_id, answer in zip(ids, answers[shard], strict=False)
        }


def _arguments(versions: Iterable[Version]) -> dict[str, Sequence[Any]]:
    return {each.image_id: [each.image_id, each.number, each.region_count] for each in versions}


def _beginning(answer: bytes) -> Begun | Unchanged | Busy:
    word, *numbers = answer.split()
    if word == b"begun":
        return Begun(version=int(numbers[0]), replaces=numbers[1] == b"1")
    return Unchanged(int(numbers[0])) if word == b"unchanged" else Busy()
