"""The callers of the mixed benchmark: they write to one collection at once and note what was acknowledged."""

import asyncio
import hashlib
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import count, islice
from pathlib import Path
from typing import TYPE_CHECKING

import grpc
import httpx

from benchmarks.ledger import Ledger
from fovea.ingest.v1 import ingest_pb2

if TYPE_CHECKING:
    from fovea.ingest.v1.ingest_pb2_grpc import IngestServiceAsyncStub

COLLECTION = "bench_mixed"
BASE = 500
# A stream's items, a form's files, images that are sent again and again, and images kept before the oldest go.
_STREAM, _FORM, _AGAIN, _KEPT = 100, 10, 60, 1500
_DELETED_AT_ONCE = 50
_AGAIN_NUMBERS, _SHARED_NUMBERS = 10_000_000, 20_000_000


@dataclass(frozen=True, slots=True)
class Images:
    """Endlessly many different files: JPEGs, each with its number as a comment."""

    files: Sequence[bytes]

    def of(self, number: int) -> bytes:
        """The image file of that number."""
        file, comment = self.files[number % len(self.files)], str(number).encode()
        return file[:2] + b"\xff\xfe" + (len(comment) + 2).to_bytes(2, "big") + comment + file[2:]

    def sha256_of(self, number: int) -> str:
        """The SHA-256 of that file."""
        return hashlib.sha256(self.of(number)).hexdigest()


@dataclass(frozen=True, slots=True)
class Sent:
    """One image on its way in."""

    uri: str
    number: int
    is_file: bool = False
    round: int = 0


class Writers:
    """Callers that write to one collection at once, and note what was acknowledged."""

    def __init__(
        self, stub: "IngestServiceAsyncStub", http: httpx.AsyncClient, images: Images, folder: Path, ledger: Ledger
    ) -> None:
        self._stub = stub
        self._http = http
        self._images = images
        self._folder = folder
        self._ledger = ledger
        self._new = count(BASE)

    async def fill(self) -> None:
        """Images that nobody touches afterwards."""
        await self._stream("base", (Sent(f"base/{number}", number) for number in range(BASE)))

    async def run(self, seconds: float) -> None:
        """All callers, until the time is over and what they began is answered."""
        adding = [self._by_bytes, self._by_bytes, self._by_path, self._by_path, self._upload]
        others = [self._again, self._shared, self._shared, self._delete, self._delete]
        ends_s = time.monotonic() + seconds

        async def repeat(write: Callable[[int], Awaitable[None]]) -> None:
            for number in count():
                if time.monotonic() >= ends_s:
                    return
                await write(number)

        async with asyncio.TaskGroup() as running:
            for caller in [*(self._bounded(each) for each in adding), *others]:
                running.create_task(repeat(caller))

    def _bounded(self, write: Callable[[int], Awaitable[None]]) -> Callable[[int], Awaitable[None]]:
        """Adds only while the deletions keep up, so that the collection, and with it a search alone, stays as it is."""

        async def bounded(number: int) -> None:
            if len(self._ledger.deletable) > 2 * _KEPT:
                await asyncio.sleep(0.05)
            else:
                await write(number)

        return bounded

    async def _by_bytes(self, _round: int) -> None:
        sent = [Sent(f"bytes/{number}", number) for number in islice(self._new, _STREAM)]
        self._ledger.deletable += await self._stream("bytes", sent)

    async def _by_path(self, _round: int) -> None:
        sent = [
            Sent(str(self._folder / f"{number}.jpg"), number, is_file=True) for number in islice(self._new, _STREAM)
        ]
        self._ledger.deletable += await self._stream("paths", sent)

    async def _again(self, round_: int) -> None:
        """The same uris: a third with new bytes each time, the others seldom; new metadata every second time."""
        for_uri = [number + _AGAIN * (round_ // (1 + number % 3)) for number in range(_AGAIN)]
        sent = [
            Sent(f"again/{index}", _AGAIN_NUMBERS + number, round=round_ // 2) for index, number in enumerate(for_uri)
        ]
        await self._stream("again", sent)

    async def _shared(self, round_: int) -> None:
        """Uris that two streams write at once, in any order, with the same bytes and other metadata."""
        numbers = random.sample(range(_AGAIN), _AGAIN)
        sent = [Sent(f"shared/{number}", _SHARED_NUMBERS + number, round=round_) for number in numbers]
        await self._stream("shared", sent)

    async def _upload(self, _round: int) -> None:
        numbers = {f"sha256:{self._images.sha256_of(number)}": number for number in islice(self._new, _FORM)}
        for uri, number in numbers.items():
            self._ledger.sending(uri, number)
        files = [("images", (f"{number}.jpg", self._images.of(number))) for number in numbers.values()]
        answer = await self._http.post(f"/api/v1/collections/{COLLECTION}/images", files=files)
        if "results" not in answer.json():
            self._ledger.failed("uploads", f"{answer.status_code} {answer.json().get('detail')}", len(numbers))
            await asyncio.sleep(1)
            return
        for result in answer.json()["results"]:
            if "error" in result:
                self._ledger.failed("uploads", str(result["error"].get("detail")))
            else:
                self._ledger.added("uploads", result["uri"], numbers[result["uri"]], _status(result["status"]))
                self._ledger.deletable.append(result["uri"])

    async def _delete(self, round_: int) -> None:
        """The oldest images, by uri and by id in turn."""
        if len(self._ledger.deletable) < _KEPT + _DELETED_AT_ONCE:
            await asyncio.sleep(0.1)
            return
        uris = [self._ledger.deletable.popleft() for _ in range(_DELETED_AT_ONCE)]
        request = ingest_pb2.DeleteImagesRequest(collection=COLLECTION)
        if round_ % 2:
            request.uris.extend(uris)
        else:
            request.image_ids.extend(hashlib.sha256(uri.encode()).hexdigest()[:32] for uri in uris)
        self._ledger.deleting(uris)
        try:
            await self._stub.DeleteImages(request, timeout=120)
        except grpc.aio.AioRpcError as error:
            self._ledger.failed("deletes", f"{error.code().name} {error.details()}")
            return
        self._ledger.gone(uris)
        await asyncio.to_thread(self._remove_files, uris)

    def _remove_files(self, uris: Iterable[str]) -> None:
        for uri in uris:
            if uri.startswith(str(self._folder)):
                Path(uri).unlink()

    async def _stream(self, kind: str, items: Iterable[Sent]) -> list[str]:
        """One Ingest call, each uri once; the uris that were acknowledged."""
        numbers: dict[str, int] = {}

        async def requests() -> AsyncIterator[ingest_pb2.IngestRequest]:
            for sent in items:
                numbers[sent.uri] = sent.number
                self._ledger.sending(sent.uri, sent.number)
                yield ingest_pb2.IngestRequest(collection=COLLECTION, item=await asyncio.to_thread(self._item, sent))

        acknowledged: list[str] = []
        try:
            async for answer in self._stub.Ingest(requests()):
                number = numbers.pop(answer.uri)
                if answer.HasField("error"):
                    self._ledger.failed(kind, f"{_code(answer.error.code)} {answer.error.message}")
                else:
                    status = ingest_pb2.IngestStatus.Name(answer.status)
                    self._ledger.added(kind, answer.uri, number, _status(status))
                    acknowledged.append(answer.uri)
        except grpc.aio.AioRpcError as error:
            self._ledger.failed(f"{kind} stream", f"{error.code().name} {error.details()}")
            await asyncio.sleep(1)
        if numbers:
            self._ledger.failed(kind, "never answered", len(numbers))
        return acknowledged

    def _item(self, sent: Sent) -> ingest_pb2.Item:
        data = self._images.of(sent.number)
        if sent.is_file:
            Path(sent.uri).write_bytes(data)
        item = ingest_pb2.Item(uri=sent.uri, image=None if sent.is_file else data)
        item.metadata.update({"round": sent.round})
        return item


def _status(name: str) -> str:
    return name.removeprefix("INGEST_STATUS_")


def _code(number: int) -> str:
    return next((code.name for code in grpc.StatusCode if code.value[0] == number), str(number))
