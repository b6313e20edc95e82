"""The only module that talks to Redis: which version of each picture lives, and the steps that change it."""

import asyncio
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError, ResponseError

from rpc.deadline import Deadline
from rpc.errors import DeadlineExceeded, FailedPrecondition, Unavailable
from services.stores import scripts
from services.stores.entries import decode_entry, encode_entry, fingerprint_in
from services.stores.records import Collection, Counts, ImageRecord

SHARDS = "0123456789abcdef"  # by the first digit of the image_id
MAX_CONNECTIONS = 64
SOCKET_TIMEOUT_S = 5.0
CONNECT_TIMEOUT_S = 1.0

_AWAY = "Redis cannot be reached or cannot answer now; try again when it is up"


class CatalogLost(Exception):
    """Redis does not hold this collection: it has to be rebuilt from Milvus before anything is written."""


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
    """Records in Redis, in 16 shards a collection; the keys of a shard share one slot of a Redis Cluster."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis

    @classmethod
    def open(cls, url: str) -> "RedisCatalog":
        """A catalog on the Redis at `url`, which is asked nothing yet."""
        pool = BlockingConnectionPool.from_url(
            url,
            max_connections=MAX_CONNECTIONS,
            timeout=SOCKET_TIMEOUT_S,
            socket_timeout=SOCKET_TIMEOUT_S,
            socket_connect_timeout=CONNECT_TIMEOUT_S,
            retry=Retry(NoBackoff(), 1),
        )
        return cls(Redis.from_pool(pool))

    async def close(self) -> None:
        """Close the connections."""
        await self._redis.aclose()

    async def ping(self, deadline: Deadline) -> None:
        """Ask whether Redis answers, and whether it may forget what it was told."""
        [settings] = await self._run([("CONFIG", "GET", "maxmemory-policy")], deadline)
        if any(policy != b"noeviction" for _, policy in _pairs(settings)):
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
        answers = await self._each(
            collection, scripts.BEGIN, arguments, deadline, shared=[round(lease_s * 1000), token]
        )
        return {image_id: _beginning(answer) for image_id, answer in answers.items()}

    async def commit(self, collection: Collection, versions: Mapping[str, int], deadline: Deadline) -> dict[str, bool]:
        """Make pending versions live: from here on they are found. False where another version won."""
        arguments = {image_id: [image_id, version] for image_id, version in versions.items()}
        answers = await self._each(collection, scripts.COMMIT, arguments, deadline)
        return {image_id: bool(answer) for image_id, answer in answers.items()}

    async def abandon(self, collection: Collection, versions: Mapping[str, int], deadline: Deadline) -> None:
        """Give pending versions up; their rows are to be deleted."""
        arguments = {image_id: [image_id, version] for image_id, version in versions.items()}
        await self._each(collection, scripts.ABANDON, arguments, deadline)

    async def retire(
        self, collection: Collection, image_ids: Iterable[str], deadline: Deadline
    ) -> dict[str, tuple[bool, str]]:
        """Hide pictures; for each, whether it was found until now, and its dead versions."""
        answers = await self._each(collection, scripts.RETIRE, {each: [each] for each in image_ids}, deadline)
        texts = {image_id: answer.decode() for image_id, answer in answers.items()}
        return {image_id: (text[0] == "1", text[2:]) for image_id, text in texts.items()}

    async def bury(self, collection: Collection, dead: Mapping[str, str], deadline: Deadline) -> None:
        """Forget dead versions whose rows are deleted."""
        arguments = {image_id: [image_id, versions] for image_id, versions in dead.items()}
        await self._each(collection, scripts.BURY, arguments, deadline)

    async def dead(
        self, collection: Collection, deadline: Deadline, image_ids: Sequence[str] | None = None
    ) -> dict[str, str]:
        """The dead versions of these pictures, or of all, as `bury` takes them."""
        if image_ids is None:
            commands: list[tuple[Any, ...]] = [("HGETALL", _key(collection, shard, "dead")) for shard in SHARDS]
            answers = await self._run(commands, deadline)
            return {key.decode(): versions.decode() for answer in answers for key, versions in _pairs(answer)}
        found = await self._values(collection, "dead", image_ids, deadline)
        return {image_id: versions.decode() for image_id, versions in found.items()}

    async def overdue(self, collection: Collection, deadline: Deadline) -> list[Overdue]:
        """The pending versions whose lease ran out."""
        answers = await self._on_shards(collection, scripts.OVERDUE, {shard: [] for shard in SHARDS}, deadline)
        fields = [entry.decode().split() for answer in answers.values() for entry in answer]
        return [Overdue(image_id, int(version), int(regions)) for image_id, version, regions in fields]

    async def records(
        self, collection: Collection, image_ids: Iterable[str], deadline: Deadline
    ) -> dict[str, ImageRecord]:
        """The live records of those of these pictures that have one; CatalogLost where Redis cannot know."""
        shards = _by_shard(image_ids)
        commands: list[tuple[Any, ...]] = []
        for shard, members in shards.items():
            commands.append(("HGET", _key(collection, shard, "state"), "generation"))
            commands.append(("HMGET", _key(collection, shard, "live"), *members))
        answers = await self._run(commands, deadline)
        generation = collection.generation.encode()
        if any(answer != generation for answer in answers[::2]):
            raise CatalogLost
        members = [image_id for ids in shards.values() for image_id in ids]
        entries = [entry for answer in answers[1::2] for entry in answer]
        return {each: decode_entry(each, entry) for each, entry in zip(members, entries, strict=True) if entry}

    async def unchanged(
        self, collection: Collection, pictures: Sequence[tuple[str, str]], deadline: Deadline
    ) -> list[ImageRecord | None]:
        """For each (image_id, fingerprint) the live record with just this fingerprint, if there is one."""
        entries = await self._values(collection, "live", {image_id for image_id, _ in pictures}, deadline)
        return [
            decode_entry(image_id, entry) if entry and fingerprint_in(entry) == fingerprint else None
            for (image_id, fingerprint), entry in ((each, entries.get(each[0])) for each in pictures)
        ]

    async def counts(self, collection: Collection, deadline: Deadline) -> Counts:
        """How many pictures and regions live."""
        commands: list[tuple[Any, ...]] = []
        for shard in SHARDS:
            commands.append(("HMGET", _key(collection, shard, "state"), "generation", "regions"))
            commands.append(("HLEN", _key(collection, shard, "live")))
        answers = await self._run(commands, deadline)
        states = answers[::2]
        if any(generation != collection.generation.encode() for generation, _ in states):
            raise CatalogLost
        return Counts(image_count=sum(answers[1::2]), region_count=sum(int(regions or 0) for _, regions in states))

    async def ids(self, collection: Collection, *, after: str, limit: int, deadline: Deadline) -> list[str]:
        """Up to `limit` live image_ids behind `after`, in order."""
        found: list[str] = []
        for shard in SHARDS:
            if len(found) >= limit or (after and shard < after[0]):
                continue
            lowest = f"({after}" if after else "-"
            command = ("ZRANGEBYLEX", _key(collection, shard, "order"), lowest, "+", "LIMIT", 0, limit - len(found))
            generation, members = await self._run(
                [("HGET", _key(collection, shard, "state"), "generation"), command], deadline
            )
            if generation != collection.generation.encode():
                raise CatalogLost
            found += [member.decode() for member in members]
        return found

    async def drop(self, name: str, deadline: Deadline) -> None:
        """Forget all that is known about the collections of this name."""
        parts = ("live", "order", "pending", "dead", "state", "rebuild")
        await self._run([("UNLINK", *(_shard_key(name, shard, part) for part in parts)) for shard in SHARDS], deadline)

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
        keys = [*_keys(collection, shard), _key(collection, shard, "rebuild")]
        [answer] = await self._run([("EVAL", script, len(keys), *keys, *arguments)], deadline)
        return answer

    async def _each(
        self,
        collection: Collection,
        script: str,
        arguments: Mapping[str, Sequence[Any]],
        deadline: Deadline,
        *,
        shared: Sequence[Any] = (),
    ) -> dict[str, Any]:
        """Run a script that answers once for each picture; its answers by image_id."""
        shards = _by_shard(arguments)
        flat = {
            shard: [*shared, *(argument for image_id in members for argument in arguments[image_id])]
            for shard, members in shards.items()
        }
        answers = await self._on_shards(collection, script, flat, deadline)
        return {
            image_id: answer
            for shard, members in shards.items()
            for image_id, answer in zip(members, answers[shard], strict=False)
        }

    async def _on_shards(
        self, collection: Collection, script: str, arguments: Mapping[str, Sequence[Any]], deadline: Deadline
    ) -> dict[str, Any]:
        """Run a script on shards, all in one round trip."""
        commands: list[tuple[Any, ...]] = []
        for shard, more in arguments.items():
            keys = _keys(collection, shard)
            commands.append(("EVAL", script, len(keys), *keys, collection.generation, *more))
        answers = await self._run(commands, deadline)
        return dict(zip(arguments, answers, strict=True))

    async def _values(
        self, collection: Collection, part: str, image_ids: Iterable[str], deadline: Deadline
    ) -> dict[str, bytes]:
        shards = _by_shard(image_ids)
        commands = [("HMGET", _key(collection, shard, part), *members) for shard, members in shards.items()]
        answers = await self._run(commands, deadline)
        return {
            image_id: value
            for members, values in zip(shards.values(), answers, strict=True)
            for image_id, value in zip(members, values, strict=True)
            if value is not None
        }

    async def _run(self, commands: Sequence[tuple[Any, ...]], deadline: Deadline) -> list[Any]:
        """Send commands in one round trip; the only place where errors of Redis are translated."""
        if not commands:
            return []
        pipeline = self._redis.pipeline(transaction=False)
        for command in commands:
            pipeline.execute_command(*command)
        try:
            async with asyncio.timeout(deadline.left_s()):
                return list(await pipeline.execute())
        except ResponseError as error:
            if "LOST" in str(error):
                raise CatalogLost from error
            raise Unavailable(_AWAY) from error
        except RedisError as error:
            raise Unavailable(_AWAY) from error
        except TimeoutError as error:
            raise DeadlineExceeded("Redis did not answer in time; allow more time or look after Redis") from error


def _beginning(answer: bytes) -> Begun | Unchanged | Busy:
    word, *numbers = answer.split()
    if word == b"begun":
        return Begun(version=int(numbers[0]), replaces=numbers[1] == b"1")
    return Unchanged(int(numbers[0])) if word == b"unchanged" else Busy()


def _by_shard(image_ids: Iterable[str]) -> dict[str, list[str]]:
    shards: dict[str, list[str]] = defaultdict(list)
    for image_id in image_ids:
        shards[image_id[0]].append(image_id)
    return shards


def _pairs(answer: Any) -> Iterable[tuple[bytes, bytes]]:
    """The fields of a map, as a client of RESP 2 or 3 gives them."""
    return answer.items() if isinstance(answer, dict) else zip(answer[::2], answer[1::2], strict=True)


def _shard_key(name: str, shard: str, part: str) -> str:
    return f"fovea:{{{name}:{shard}}}:{part}"


def _key(collection: Collection, shard: str, part: str) -> str:
    return _shard_key(collection.name, shard, part)


def _keys(collection: Collection, shard: str) -> list[str]:
    return [_key(collection, shard, part) for part in ("live", "order", "pending", "dead", "state")]
