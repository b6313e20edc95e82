"""Mutated messages to every method of every service: each gets a status that says whose fault it is."""

import asyncio
import random
import sys
import uuid
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any

import grpc
import pytest
from google.protobuf import descriptor_pool, message_factory
from google.protobuf.descriptor import Descriptor, FieldDescriptor, MethodDescriptor
from google.protobuf.message import DecodeError, Message
from grpc_health.v1 import health_pb2
from grpc_reflection.v1alpha import reflection_pb2

from fovea.detector.v1 import detector_pb2
from fovea.encoder.v1 import encoder_pb2
from fovea.ingest.v1 import ingest_pb2
from fovea.oip.v2 import open_inference_pb2
from fovea.search.v1 import search_pb2
from rpc.channel import open_channel
from services.ingest.__main__ import ingest_server
from services.ingest.settings import IngestSettings
from services.search.__main__ import search_server
from services.search.settings import SearchSettings
from tests.support.images import drawing, encoded, plain
from tests.support.services import Stores

END = getattr(grpc.aio, "EOF")  # noqa: B009 - the type stubs lack it
SEED = 8
MESSAGES = 20_000
CALLERS = 8
CALL_TIME_S = 60.0
MAX_DEPTH = 5

STANDARD = (health_pb2, reflection_pb2)
SERVICES = {
    "encoder": (encoder_pb2, detector_pb2, open_inference_pb2, *STANDARD),
    "search": (search_pb2, *STANDARD),
    "ingest": (ingest_pb2, *STANDARD),
}
# Each makes or drops a whole collection: rarely, so that the others have something to work on.
RARE = {"CreateCollection": 0.05, "DeleteCollection": 0.05}
NEVER_THE_CALLERS_FAULT = {"UNKNOWN", "INTERNAL"}


@dataclass(frozen=True, slots=True)
class Target:
    """A method on one server."""

    channel: Any
    method: MethodDescriptor

    @property
    def path(self) -> str:
        """The method's name on the wire."""
        return f"/{self.method.containing_service.full_name}/{self.method.name}"

    @property
    def weight(self) -> float:
        """How often it is called."""
        return RARE.get(self.method.name, 1.0)

    def decodes(self, data: bytes) -> bool:
        """Whether the bytes are a message of the method."""
        try:
            message_factory.GetMessageClass(self.method.input_type).FromString(data)
        except DecodeError:
            return False
        return True


class Writer:
    """Makes messages that make sense, more or less, and breaks them."""

    def __init__(self, chance: random.Random, collection: str) -> None:
        self._chance = chance
        self._strings = [
            "",
            "tiny",
            "tiny_text",
            "tiny_detector",
            collection,
            "a.jpg",
            "image",
            "text",
            "BYTES",
            "UINT8",
        ]
        self._strings += ['colour = "red"', "x" * 9000, "é\u2028\0", "fovea.search.v1.SearchService", "liveness"]
        self._bytes = [
            b"",
            encoded(plain()),
            encoded(drawing()),
            b"\x00\x00\x80\x3f" * 16,
            b"\xff\xd8\xff",
            b"\0" * 3000,
        ]

    def messages(self, kind: Descriptor) -> list[bytes]:
        """One message, or a few of a stream; some as they should be, most of them broken somewhere."""
        data = self._filled(kind, 0).SerializeToString()
        return [data if self._chance.random() < 0.2 else self._mutated(data)]

    def _filled(self, kind: Descriptor, depth: int) -> Message:
        message = message_factory.GetMessageClass(kind)()
        for field in kind.fields:
            if self._chance.random() < 0.6:
                self._fill(message, field, depth)
        return message

    def _fill(self, message: Message, field: FieldDescriptor, depth: int) -> None:
        if field.message_type is not None and field.message_type.GetOptions().map_entry:
            return
        if field.message_type is not None:
            if depth < MAX_DEPTH:
                count = self._chance.randint(1, 3) if field.is_repeated else 1
                for _ in range(count):
                    value = self._filled(field.message_type, depth + 1)
                    (
                        getattr(message, field.name).add() if field.is_repeated else getattr(message, field.name)
                    ).MergeFrom(value)
        elif field.is_repeated:
            getattr(message, field.name).extend([self._value(field) for _ in range(self._chance.randint(1, 3))])
        else:
            setattr(message, field.name, self._value(field))

    def _value(self, field: FieldDescriptor) -> Any:
        match field.cpp_type:
            case FieldDescriptor.CPPTYPE_STRING if field.type == FieldDescriptor.TYPE_BYTES:
                return self._chance.choice(self._bytes)
            case FieldDescriptor.CPPTYPE_STRING:
                return self._chance.choice(self._strings)
            case FieldDescriptor.CPPTYPE_BOOL:
                return self._chance.random() < 0.5
            case FieldDescriptor.CPPTYPE_FLOAT | FieldDescriptor.CPPTYPE_DOUBLE:
                return self._chance.choice([0.0, 0.5, 1.0, -1.0, 1e30, float("nan"), float("inf")])
            case FieldDescriptor.CPPTYPE_INT32 | FieldDescriptor.CPPTYPE_INT64:
                return self._chance.choice([0, 1, 2, 16, 1000, -1, -(2**31)])
            case _:
                return self._chance.choice([0, 1, 2])

    def _mutated(self, data: bytes) -> bytes:
        for _ in range(self._chance.randint(1, 3)):
            start, end = sorted(self._chance.choices(range(len(data) + 1), k=2))
            end = min(end, start + self._chance.choice([1, 4, 1000]))
            middle = self._chance.choice(
                [b"", data[start:end] * 2, self._chance.randbytes(end - start), self._chance.randbytes(4), b"\xff" * 10]
            )
            data = data[:start] + middle + data[end:]
        return data


@pytest.fixture
async def channels(
    stores: Stores, encoder: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[dict[str, Any]]:
    """A channel to a real server of each kind."""
    where: dict[str, Any] = {"milvus_uri": stores.milvus_uri, "redis_url": stores.redis_url, "encoders": (encoder,)}
    uploads = tmp_path_factory.mktemp("uploads")
    async with AsyncExitStack() as stack:
        addresses = {"encoder": encoder}
        for name, opened in (
            ("search", search_server(SearchSettings(**where))),
            ("ingest", ingest_server(IngestSettings(**where, uploads=uploads))),
        ):
            server = await stack.enter_async_context(opened)
            addresses[name] = f"127.0.0.1:{server.port}"
        yield {name: await stack.enter_async_context(open_channel(address)) for name, address in addresses.items()}


def targets(channels: dict[str, Any]) -> Iterator[Target]:
    """Every method of every server."""
    pool = descriptor_pool.Default()
    for server, modules in SERVICES.items():
        for module in modules:
            for service in module.DESCRIPTOR.services_by_name.values():
                full = pool.FindServiceByName(service.full_name)
                yield from (Target(channels[server], method) for method in full.methods)


async def status(target: Target, messages: Sequence[bytes]) -> str:
    """The code that a call ends with; one that stays open after an answer is left."""
    call = target.channel.stream_stream(target.path)(iter(messages), timeout=CALL_TIME_S)
    try:
        while await call.read() is not END:
            if target.method.name == "Watch":
                call.cancel()
                return "OK"
    except grpc.aio.AioRpcError as error:
        return error.code().name
    return "OK"


@pytest.mark.more
@pytest.mark.timeout(1500)
async def test_mutated_messages_get_a_status_that_names_whose_fault_it_is(channels: dict[str, Any]) -> None:
    """No message makes a server say UNKNOWN or INTERNAL, and bytes that are not a message are INVALID_ARGUMENT."""
    sys.stdout.write(f"seed {SEED}\n")
    chance = random.Random(SEED)
    collection = f"fuzz_{uuid.uuid4().hex}"
    writer = Writer(chance, collection)
    known = list(targets(channels))
    created = ingest_pb2.CreateCollectionRequest(
        collection=ingest_pb2.Collection(name=collection, encoder="tiny", mode=ingest_pb2.COLLECTION_MODE_WHOLE_IMAGE)
    )
    create = next(target for target in known if target.method.name == "CreateCollection")
    work = iter(
        [(create, [created.SerializeToString()])]
        + [
            (target, writer.messages(target.method.input_type))
            for target in chance.choices(known, [target.weight for target in known], k=MESSAGES)
        ]
    )
    seen: Counter[tuple[str, str]] = Counter()
    wrong: list[tuple[str, str, bytes]] = []

    async def call() -> None:
        for target, messages in work:
            code = await status(target, messages)
            seen[target.path, code] += 1
            is_broken = not all(map(target.decodes, messages))
            if code in NEVER_THE_CALLERS_FAULT or (is_broken and code != "INVALID_ARGUMENT"):
                wrong.append((target.path, code, messages[-1][:200]))

    await asyncio.gather(*(call() for _ in range(CALLERS)))

    assert sum(seen.values()) == MESSAGES + 1
    assert not wrong, f"seed {SEED}: {len(wrong)} of {MESSAGES}, for example {wrong[:10]}"
    codes = Counter[str]()
    for (_, code), count in seen.items():
        codes[code] += count
    assert min(codes["OK"], codes["INVALID_ARGUMENT"]) > MESSAGES // 20, codes
