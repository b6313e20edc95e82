"""Streams always make progress: in any mix, every item is answered and everything is released."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing, contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import cast

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from rpc.errors import InvalidArgument
from services.ingest.admission import ItemAdmission
from services.ingest.item import Added, Failed, IngestOutcome, Item, LoadedImage
from services.ingest.reader import ItemReader
from services.ingest.stream import CurrentPipeline, IngestStream
from services.stores.records import PutStatus, image_id_of
from sources.roots import ImageRoots
from tests.support.images import encoded, plain

BUDGET = 4000
MAX_ITEMS = 5
IMAGE = encoded(plain("red", (8, 8)))
# Each file's name is its size. One is larger than the whole budget, two fill it nearly.
SIZES = (100, 1500, 3900, 9000)
URIS = tuple(f"{size}.png" for size in SIZES)
PATIENT_S, HURRIED_S, LONG_S = 60.0, 0.02, 10.0


@dataclass(frozen=True, slots=True)
class Sent:
    """One item: its uri, the size of its bytes, none for a file, and for how many seconds it is worked on, or how."""

    uri: str
    size: int | None
    work: float | str


@dataclass(frozen=True, slots=True)
class Stream:
    """What one caller sends, and after how many steps of the loop it leaves; None: never."""

    sent: list[Sent]
    is_hurried: bool
    leaves_after: int | None

    async def items(self, number: int) -> AsyncIterator[Item | Failed]:
        """The items of the stream with this number, as they come from the wire."""
        for index, sent in enumerate(self.sent):
            data = None if sent.size is None else image(sent.size)
            yield Item(sent.uri, data, {"work": sent.work, "stream": number, "number": index})


@dataclass(slots=True)
class SlowPipeline:
    """Works on an image as its metadata say, and checks every bound and the order."""

    inside: list[LoadedImage] = field(default_factory=list)
    order: list[tuple[int, str, int]] = field(default_factory=list)
    broken: set[str] = field(default_factory=set)

    async def add(self, image: LoadedImage) -> Added:
        """Takes a while, for ever, or fails."""
        with self._counted(image):
            assert image.metadata is not None
            work = image.metadata["work"]
            if work == "hang":
                await asyncio.Event().wait()
            if work == "fail":
                raise InvalidArgument("it is broken")
            await asyncio.sleep(work)
            self.order.append((image.metadata["stream"], image.uri, image.metadata["number"]))
        return Added(image.uri, image_id_of(image.uri), PutStatus.ADDED, 1)

    @contextmanager
    def _counted(self, image: LoadedImage) -> Iterator[None]:
        self.inside.append(image)
        self._check()
        try:
            yield
        finally:
            self.inside.remove(image)

    def _check(self) -> None:
        """Notes what is broken: an assertion here would only be the failure of an item."""
        if len(self.inside) > MAX_ITEMS:
            self.broken.add("more items than allowed")
        if len(self.inside) > 1 and sum(len(held.data) for held in self.inside) > BUDGET:
            self.broken.add("more bytes than allowed")
        if max(Counter(held.uri for held in self.inside).values()) > 1:
            self.broken.add("one uri twice at once")


@st.composite
def streams(draw: st.DrawFn) -> Stream:
    """Only a stream in a hurry has items that hang."""
    is_hurried = draw(st.sampled_from([False, False, True]))
    works = [0, 0.001, 0.004, "fail", *(["hang"] if is_hurried else [])]
    items = st.builds(Sent, st.sampled_from(URIS), st.none() | st.sampled_from(SIZES), st.sampled_from(works))
    return Stream(draw(st.lists(items, max_size=12)), is_hurried, draw(st.none() | st.integers(0, 60)))


def image(size: int) -> bytes:
    """An image file of this many bytes."""
    return IMAGE.ljust(size, b"\0")


async def outcomes(
    stream: Stream, number: int, admission: ItemAdmission, pipeline: SlowPipeline
) -> list[IngestOutcome]:
    """All outcomes of a caller that does not leave."""
    running = IngestStream(
        "c",
        admission=admission,
        pipeline=cast("CurrentPipeline", pipeline),
        max_items=MAX_ITEMS,
        item_time_s=HURRIED_S if stream.is_hurried else PATIENT_S,
    )
    async with aclosing(running.outcomes(stream.items(number))) as answers:
        return [outcome async for outcome in answers]


async def run(stream: Stream, number: int, admission: ItemAdmission, pipeline: SlowPipeline) -> None:
    """Runs one stream to its end, and checks the outcomes of its items."""
    task = asyncio.create_task(outcomes(stream, number, admission, pipeline))
    if stream.leaves_after is not None:
        for _ in range(stream.leaves_after):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task])
    elif stream.is_hurried:
        assert len(await task) == len(stream.sent)
    else:
        found = Counter((outcome.uri, isinstance(outcome, Added)) for outcome in await task)
        assert found == Counter((sent.uri, sent.work != "fail") for sent in stream.sent)


async def everything_is_free(admission: ItemAdmission) -> None:
    """Each uri's lock, all bytes and a thread can be acquired."""
    for uri in URIS:
        item = Item(uri, image(BUDGET), {})
        async with admission.admit("c", item, max_s=LONG_S) as size:
            await admission.read(item, size)


async def all_finish(mix: list[Stream], root: Path) -> None:
    admission = ItemAdmission(
        ItemReader(ImageRoots([root]), None, max_bytes=1 << 20),
        threads=2,
        max_bytes=BUDGET,
        max_items=MAX_ITEMS,
    )
    pipeline = SlowPipeline()
    try:
        async with asyncio.timeout(LONG_S):
            await asyncio.gather(*(run(*each, admission, pipeline) for each in zip(mix, count(), strict=False)))
            await everything_is_free(admission)
    finally:
        admission.close()
    assert not pipeline.broken
    for stream, uri in {(stream, uri) for stream, uri, _ in pipeline.order}:
        numbers = [number for *key, number in pipeline.order if key == [stream, uri]]
        assert numbers == sorted(numbers), f"items of {uri} in the order of the stream"


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a file of each size."""
    folder = tmp_path_factory.mktemp("root")
    for size, uri in zip(SIZES, URIS, strict=True):
        (folder / uri).write_bytes(image(size))
    return folder


# Without shrinking: each example that does not finish costs LONG_S.
@settings(
    max_examples=60,
    deadline=None,
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
    suppress_health_check=[HealthCheck.too_slow],
)
@given(mix=st.lists(streams(), min_size=1, max_size=4))
def test_any_mix_of_streams_finishes(mix: list[Stream], root: Path) -> None:
    """Items by path and by bytes, of all sizes, of the same uris, in several streams, some slow, hanging or left."""
    asyncio.run(all_finish(mix, root))
