"""Items acquire what they hold in one order, and release it however they end."""

import asyncio
import hashlib
import threading
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from rpc.errors import InvalidArgument, NotFound
from services.ingest.admission import ByteBudget, ItemAdmission
from services.ingest.item import Item
from services.ingest.reader import ItemReader
from sources.errors import MissingSourceError
from sources.roots import ImageRoots
from sources.uploads import Uploads
from sources.web import WebImages
from tests.support.images import encoded, plain

RED = encoded(plain("red"))
BUDGET = 1000
MAX_ITEMS = 10


@pytest.fixture
def reader(tmp_path: Path) -> ItemReader:
    return ItemReader(ImageRoots([tmp_path]), None, max_bytes=1 << 20)


@pytest.fixture
async def admission(reader: ItemReader) -> AsyncIterator[ItemAdmission]:
    admission = ItemAdmission(reader, threads=2, max_bytes=BUDGET, max_items=MAX_ITEMS)
    yield admission
    admission.close()


def bytes_item(uri: str, size: int) -> Item:
    return Item(uri, b"x" * size, {})


class Holder:
    """An item on its way through admission, until `end` is called."""

    def __init__(self, admission: ItemAdmission, item: Item) -> None:
        self.is_admitted = asyncio.Event()
        self._ends = asyncio.Event()
        self.task = asyncio.create_task(self._hold(admission, item))

    async def _hold(self, admission: ItemAdmission, item: Item) -> None:
        async with admission.admit("c", item, max_s=60):
            self.is_admitted.set()
            await self._ends.wait()

    async def end(self) -> None:
        """Releases everything."""
        self._ends.set()
        await self.task


async def started(admission: ItemAdmission, *items: Item) -> list[Holder]:
    """Items that arrived one after the other and came as far as they can without a thread."""
    holders = []
    for item in items:
        holders.append(Holder(admission, item))
        for _ in range(3):
            await asyncio.sleep(0)
    return holders


@pytest.fixture
def stubborn(monkeypatch: pytest.MonkeyPatch) -> threading.Event:
    """A file system that hangs until the event is set."""
    answers = threading.Event()
    monkeypatch.setattr(ImageRoots, "size", lambda *_: answers.wait(30) and 1)
    return answers


async def test_one_key_goes_in_the_order_of_asking(admission: ItemAdmission) -> None:
    """The second item of a uri waits for the first; the same uri in another collection, and other uris, do not wait."""
    first, second, third, other = await started(admission, *(bytes_item(uri, 1) for uri in ("a", "a", "a", "b")))
    assert [holder.is_admitted.is_set() for holder in (first, second, third, other)] == [True, False, False, True]
    async with asyncio.timeout(10), admission.admit("another collection", bytes_item("a", 1), max_s=60):
        pass
    await first.end()
    await second.is_admitted.wait()
    assert not third.is_admitted.is_set()
    await second.end()
    await third.is_admitted.wait()
    await asyncio.gather(third.end(), other.end())


async def test_bytes_without_a_uri_are_keyed_as_they_are_stored(admission: ItemAdmission) -> None:
    """Bytes without a uri wait for the same bytes under the uri that they will get."""
    uri = f"sha256:{hashlib.sha256(b'x').hexdigest()}"
    (named,) = await started(admission, bytes_item(uri, 1))
    nameless, other = Holder(admission, bytes_item("", 1)), Holder(admission, bytes_item("", 2))
    await other.is_admitted.wait()
    assert not nameless.is_admitted.is_set()
    await asyncio.gather(named.end(), other.end(), nameless.end())


async def test_who_waits_for_a_key_holds_no_bytes(admission: ItemAdmission) -> None:
    """An item that waits for its uri holds no bytes, even if it will need all of them."""
    first, second = await started(admission, bytes_item("a", 100), bytes_item("a", BUDGET))
    (other,) = await started(admission, bytes_item("b", BUDGET - 100))
    assert other.is_admitted.is_set()
    assert not second.is_admitted.is_set()
    await asyncio.gather(first.end(), other.end(), second.end())


async def test_items_of_any_size_are_bounded_in_number(admission: ItemAdmission) -> None:
    """Small images count as their share of the bytes, so that no more than `max_items` are held."""
    *held, late = await started(admission, *(bytes_item(str(number), 1) for number in range(MAX_ITEMS + 1)))
    assert all(holder.is_admitted.is_set() for holder in held)
    assert not late.is_admitted.is_set()
    await held[0].end()
    await late.is_admitted.wait()
    await asyncio.gather(*(holder.end() for holder in (*held[1:], late)))


async def test_a_file_counts_before_it_is_read(admission: ItemAdmission, tmp_path: Path) -> None:
    """The size comes from the file system, so that a file waits for its bytes unread."""
    (tmp_path / "a.png").write_bytes(RED + bytes(BUDGET))
    (held,) = await started(admission, bytes_item("b", 1))
    waiting = Holder(admission, Item("a.png", None, {}))
    await asyncio.sleep(0.05)
    assert not waiting.is_admitted.is_set()
    await asyncio.gather(held.end(), waiting.end())


async def test_a_file_that_grew_fails_alone(admission: ItemAdmission, tmp_path: Path) -> None:
    """No more is read than was admitted; a file that shrank, or was made anew, is read."""
    path, item = tmp_path / "a.png", Item("a.png", None, {})
    path.write_bytes(RED)
    async with admission.admit("c", item, max_s=60) as size:
        path.write_bytes(RED + b"\0")
        with pytest.raises(InvalidArgument, match=r"^item\.uri: the file grew before it was read; send it again$"):
            await admission.read(item, size)
    async with admission.admit("c", item, max_s=60) as size:
        path.write_bytes(RED)
        assert (await admission.read(item, size)).data == RED


async def test_what_cannot_be_read_is_not_admitted(admission: ItemAdmission) -> None:
    """A missing file and a file that is too large fail before anything is held."""
    with pytest.raises(NotFound):
        async with admission.admit("c", Item("none.png", None, {}), max_s=60):
            pass
    with pytest.raises(InvalidArgument, match=r"larger than 1 MiB"):
        async with admission.admit("c", bytes_item("large", (1 << 20) + 1), max_s=60):
            pass


async def test_a_file_system_that_hangs_fails_the_item(admission: ItemAdmission, stubborn: threading.Event) -> None:
    """The size is asked for with a time limit, and the uri is free afterwards."""
    with pytest.raises(TimeoutError):
        async with admission.admit("c", Item("a.png", None, {}), max_s=0.05):
            pass
    stubborn.set()
    async with asyncio.timeout(10), admission.admit("c", Item("a.png", None, {}), max_s=60):
        pass


async def test_work_is_limited_in_time_and_waiting_is_not(admission: ItemAdmission) -> None:
    """The clock of an item starts when it holds all that it needs."""
    (first,) = await started(admission, bytes_item("a", 1))

    async def second() -> None:
        async with admission.admit("c", bytes_item("a", 1), max_s=0.05):
            await asyncio.Event().wait()

    waiting = asyncio.create_task(second())
    await asyncio.sleep(0.1)
    assert not waiting.done()
    await first.end()
    with pytest.raises(TimeoutError):
        await waiting


class Taker:
    """A task that holds bytes of a budget until `ends` is set."""

    def __init__(self, budget: ByteBudget, size: int) -> None:
        self.has_taken = asyncio.Event()
        self.ends = asyncio.Event()
        self.task = asyncio.create_task(self._take(budget, size))

    async def _take(self, budget: ByteBudget, size: int) -> None:
        async with budget.hold(size):
            self.has_taken.set()
            await self.ends.wait()


async def test_bytes_are_given_in_the_order_of_asking() -> None:
    """A small one does not overtake a large one for ever, and one above the whole budget passes alone."""
    budget = ByteBudget(10)
    takers = [Taker(budget, size) for size in (8, 50, 1)]
    await takers[0].has_taken.wait()
    await asyncio.sleep(0)
    for number, taker in enumerate(takers):
        assert [later.has_taken.is_set() for later in takers[number + 1 :]] == [False] * (2 - number)
        taker.ends.set()
        await taker.task
        if number < 2:
            await takers[number + 1].has_taken.wait()


@pytest.mark.parametrize("moment", ["waiting", "granted"])
async def test_a_cancelled_wait_holds_nothing(moment: str) -> None:
    """A cancelled wait neither blocks the others nor keeps bytes, also when it was just granted."""
    budget = ByteBudget(10)
    async with budget.hold(10):
        leaving, last = (Taker(budget, size) for size in (5, 10))
        await asyncio.sleep(0)
        if moment == "waiting":
            leaving.task.cancel()
            await asyncio.wait([leaving.task])
    # Without a step of the loop in between: `leaving` was given its bytes, and does not know it yet.
    leaving.task.cancel()
    await asyncio.wait([leaving.task])
    assert leaving.task.cancelled()
    async with asyncio.timeout(10):
        await last.has_taken.wait()
    last.ends.set()
    await last.task


class OneImageOnTheWeb(WebImages):
    """The web, which has one image."""

    async def fetch(self, url: str) -> bytes:
        """The image."""
        if url.endswith("red.png"):
            return RED
        raise MissingSourceError("images.example.org has no such image")


async def test_an_image_is_fetched_from_its_uri(tmp_path: Path) -> None:
    """It is kept as an upload, since its uri is not read again; where that is off, no URL is fetched."""
    uploads, item = Uploads(tmp_path / "uploads"), Item("https://images.example.org/red.png", None, None)
    reader = ItemReader(ImageRoots([tmp_path]), uploads, max_bytes=1 << 20)
    admission = ItemAdmission(reader, OneImageOnTheWeb(1 << 16), threads=1, max_bytes=1 << 20, max_items=MAX_ITEMS)
    async with admission.admit("photos", item, max_s=10) as size:
        image = await admission.read(item, size)
    missing = Item("https://images.example.org/blue.png", None, None)
    async with admission.admit("photos", missing, max_s=10) as size:
        with pytest.raises(NotFound, match=r"item\.uri: images\.example\.org has no such image"):
            await admission.read(missing, size)
    admission.close()

    assert (image.uri, image.data, image.is_upload) == (item.uri, RED, True)
    assert uploads.read(image.sha256) == RED
    off = ItemAdmission(reader, threads=1, max_bytes=1 << 20, max_items=MAX_ITEMS)
    with pytest.raises(InvalidArgument, match="switched off"):
        async with off.admit("photos", item, max_s=10):
            pass
    off.close()
