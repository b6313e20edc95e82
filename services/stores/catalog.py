"""What Redis knows: which version of each picture lives, and the steps that change it."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rpc.deadline import Deadline
from rpc.errors import FailedPrecondition
from services.stores import scripts
from services.stores.entries import decode_entry, encode_entry, fingerprint_in
from services.stores.records import Collection, Counts, ImageRecord
from services.stores.shards import GENERATION, LOCK, PARTS, SHARDS, RedisShards, check_generation, key, shard_key


@dataclass(frozen=True, slots=True)
class Draft:
    """A version to begin."""

    image_id: str
    fingerprint: str
    region_count: int
    record: bytes


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
class Overdue:
    """A version whose writer is gone."""

    image_id: str
    version: int
    region_count: int


@dataclass(frozen=True, slots=True)
class Rebuilt:
    """What a rebuild found about one picture: its live version, if any, and the versions to delete."""

    image_id: str
    record: ImageRecord | None
    dead: tuple[tuple[int, int], ...]


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
        """Ask whether Redis answers, and whether it may forget what it was told."""
        [memory] = await self._shards.run([("INFO", "memory")], deadline)
        if memory.get("maxmemory_policy", "noeviction") != "noeviction":
            raise FailedPrecondition(
                "Redis may evict what it was told; run it with maxmemory-policy noeviction", reason="NOT_READY"
            )

    async def begin(
        self, collection: Collection, drafts: Sequence[Draft], *, token: str, lease_s: float, deadline: Deadline
    ) -> dict[str, Begun | Unchanged | Busy]:
        """Note versions that are about to be written, by image_id; the same token begins the same version again."""
        arguments = {
            draft.image_id: [draft.image_id, draft.fingerprint, draft.region_count, draft.record] for draft in drafts
        }
        answers = await self._shards.on_pictures(
            collection, scripts.BEGIN, arguments, deadline, shared=[round(lease_s * 1000), token]
        )
        return {image_id: _beginning(answer) for image_id, answer in answers.items()}

    async def commit(self, collection: Collection, versions: Mapping[str, int], deadline: Deadline) -> dict[str, bool]:
        """Make pending versions live: from here on they are found. False where another version won."""
        arguments = {image_id: [image_id, version] for image_id, version in versions.items()}
        answers = await self._shards.on_pictures(collection, scripts.COMMIT, arguments, deadline)
        return {image_id: bool(answer) for image_id, answer in answers.items()}

    async def abandon(self, collection: Collection, versions: Mapping[str, int], deadline: Deadline) -> None:
        """Give pending versions up; their rows are to be deleted."""
        arguments = {image_id: [image_id, version] for image_id, version in versions.items()}
        await self._shards.on_pictures(collection, scripts.ABANDON, arguments, deadline)

    async def retire(
        self, collection: Collection, image_ids: Iterable[str], deadline: Deadline
    ) -> dict[str, tuple[bool, str]]:
        """Hide pictures; for each, whether it was found until now, and its dead versions."""
        answers = await self._shards.on_pictures(
            collection, scripts.RETIRE, {each: [each] for each in image_ids}, deadline
        )
        texts = {image_id: answer.decode() for image_id, answer in answers.items()}
        return {image_id: (text[0] == "1", text[2:]) for image_id, text in texts.items()}

    async def bury(self, collection: Collection, dead: Mapping[str, str], deadline: Deadline) -> None:
        """Forget dead versions whose rows are deleted."""
        arguments = {image_id: [image_id, versions] for image_id, versions in dead.items()}
        await self._shards.on_pictures(collection, scripts.BURY, arguments, deadline)

    async def dead(self, collection: Collection, deadline: Deadline) -> dict[str, str]:
        """The dead versions of all pictures, as `bury` takes them."""
        commands = [("HGETALL", key(collection, shard, "dead")) for shard in SHARDS]
        answers = await self._shards.run(commands, deadline)
        return {image_id.decode(): versions.decode() for each in answers for image_id, versions in each.items()}

    async def dead_of(self, collection: Collection, image_ids: Iterable[str], deadline: Deadline) -> dict[str, str]:
        """The dead versions of these pictures, as `bury` takes them."""
        ids = list(image_ids)
        commands = [("HGET", key(collection, image_id[0], "dead"), image_id) for image_id in ids]
        answers = await self._shards.run(commands, deadline)
        return {image_id: versions.decode() for image_id, versions in zip(ids, answers, strict=True) if versions}

    async def overdue(self, collection: Collection, deadline: Deadline) -> list[Overdue]:
        """The pending versions whose lease ran out."""
        answers = await self._shards.on_shards(collection, scripts.OVERDUE, {shard: [] for shard in SHARDS}, deadline)
        fields = [entry.decode().split() for answer in answers.values() for entry in answer]
        return [Overdue(image_id, int(version), int(regions)) for image_id, version, regions in fields]

    async def records(
        self, collection: Collection, image_ids: Iterable[str], deadline: Deadline
    ) -> dict[str, ImageRecord]:
        """The live records of those of these pictures that have one."""
        entries = await self._shards.live(collection, image_ids, deadline)
        return {image_id: decode_entry(image_id, entry) for image_id, entry in entries.items()}

    async def unchanged(
        self, collection: Collection, pictures: Sequence[tuple[str, str]], deadline: Deadline
    ) -> list[ImageRecord | None]:
        """For each (image_id, fingerprint) the live record with just this fingerprint, if there is one."""
        entries = await self._shards.live(collection, {image_id for image_id, _ in pictures}, deadline)
        return [
            decode_entry(image_id, entry) if entry and fingerprint_in(entry) == fingerprint else None
            for (image_id, fingerprint), entry in ((each, entries.get(each[0])) for each in pictures)
        ]

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
            dead = ",".join(f"{version}:{regions}" for version, regions in each.dead)
            arguments += [each.image_id, entry, each.record.region_count if each.record else 0, dead]
        await self._rebuild(collection, shard, scripts.REBUILD_ADD, arguments, deadline)

    async def rebuild_end(self, collection: Collection, shard: str, *, token: str, deadline: Deadline) -> None:
        """Open a rebuilt shard for writes."""
        await self._rebuild(collection, shard, scripts.REBUILD_END, [token, collection.generation], deadline)

    async def _rebuild(
        self, collection: Collection, shard: str, script: str, arguments: Sequence[Any], deadline: Deadline
    ) -> Any:
        keys = [key(collection, shard, part) for part in (*PARTS, LOCK)]
        [answer] = await self._shards.run([("EVAL", script, len(keys), *keys, *arguments)], deadline)
        return answer


def _beginning(answer: bytes) -> Begun | Unchanged | Busy:
    word, *numbers = answer.split()
    if word == b"begun":
        return Begun(version=int(numbers[0]), replaces=numbers[1] == b"1")
    return Unchanged(int(numbers[0])) if word == b"unchanged" else Busy()
