"""Uploads are removed when no image needs them, and never before."""

import asyncio
import hashlib
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from PIL import Image

from fovea.ingest.v1 import ingest_pb2
from services.ingest.upload_cleanup import UploadCleanup
from services.stores.images import ImageStore
from sources.uploads import Uploads
from tests.support.images import encoded
from tests.support.services import Stores, add, create, item

if TYPE_CHECKING:
    from fovea.ingest.v1.ingest_pb2_grpc import IngestServiceAsyncStub


@dataclass(frozen=True, slots=True)
class Upload:
    """An image that no other test has."""

    data: bytes
    sha256: str


def new_upload() -> Upload:
    data = encoded(Image.new("RGB", (96, 64), f"#{secrets.token_hex(3)}"))
    return Upload(data, hashlib.sha256(data).hexdigest())


@pytest.fixture
def uploads(tmp_path: Path) -> Uploads:
    """The uploads of the ingest server."""
    return Uploads(tmp_path / "uploads")


@pytest.fixture
async def cleanup(stores: Stores, uploads: Uploads) -> AsyncIterator[UploadCleanup]:
    """A cleanup beside the ingest server's own."""
    store = await ImageStore.open(stores.milvus_uri, stores.redis_url)
    yield UploadCleanup(store, uploads)
    await store.close()


async def until_gone(uploads: Uploads, sha256: str) -> None:
    async with asyncio.timeout(30):
        while uploads.has(sha256):  # noqa: ASYNC110 - nothing tells
            await asyncio.sleep(0.05)


async def delete(ingest: "IngestServiceAsyncStub", name: str, *uris: str) -> None:
    await ingest.DeleteImages(ingest_pb2.DeleteImagesRequest(collection=name, uris=uris))


async def test_an_upload_is_removed_with_its_last_image(
    ingest: "IngestServiceAsyncStub", cleanup: UploadCleanup, uploads: Uploads, name: str
) -> None:
    """The bytes stay while any image of any collection has them, and are removed with the last, however it is removed."""
    red, green = new_upload(), new_upload()
    await create(ingest, name)
    await create(ingest, f"{name}_b")
    await add(ingest, name, item("a", red.data), item("b", red.data), item("c", green.data))
    await add(ingest, f"{name}_b", item("a", red.data))
    await delete(ingest, name, "a", "c")
    await until_gone(uploads, green.sha256)
    assert uploads.read(red.sha256) == red.data

    await add(ingest, name, item("b", green.data))
    await cleanup.clean_all()
    assert uploads.read(red.sha256) == red.data
    await ingest.DeleteCollection(ingest_pb2.DeleteCollectionRequest(name=f"{name}_b"))
    await until_gone(uploads, red.sha256)
    assert uploads.read(green.sha256) == green.data


async def test_an_update_removes_the_old_bytes(ingest: "IngestServiceAsyncStub", uploads: Uploads, name: str) -> None:
    """Bytes that were replaced are not kept."""
    red, green = new_upload(), new_upload()
    await create(ingest, name)
    await add(ingest, name, item("a", red.data))
    await add(ingest, name, item("a", green.data))
    await until_gone(uploads, red.sha256)
    assert uploads.read(green.sha256) == green.data


@pytest.mark.parametrize("lives", [False, True])
async def test_what_a_crash_set_aside_is_settled(
    ingest: "IngestServiceAsyncStub", cleanup: UploadCleanup, uploads: Uploads, name: str, *, lives: bool
) -> None:
    """A file that was set aside is restored if an image has its bytes, and removed otherwise."""
    red = new_upload()
    await create(ingest, name)
    uploads.keep(red.sha256, red.data)
    if lives:
        await add(ingest, name, item("a", red.data))
    uploads.set_aside(red.sha256)

    await cleanup.clean_all()
    assert uploads.has(red.sha256) == lives
    if lives:
        assert uploads.read(red.sha256) == red.data


@pytest.mark.parametrize(
    ("step", "call", "is_before"),
    [
        ("used_sha256s", 0, False),
        ("set_aside", 0, True),
        ("set_aside", 0, False),
        ("used_sha256s", 1, True),
        ("used_sha256s", 1, False),
        ("remove", 0, True),
        ("remove", 0, False),
    ],
)
async def test_the_same_bytes_may_come_in_at_any_moment(
    ingest: "IngestServiceAsyncStub",
    cleanup: UploadCleanup,
    name: str,
    monkeypatch: pytest.MonkeyPatch,
    *,
    step: str,
    call: int,
    is_before: bool,
) -> None:
    """An upload that is acknowledged during the removal of the same bytes keeps its file."""
    red = new_upload()
    await create(ingest, name)
    store, uploads = cleanup._store, cleanup._uploads
    uploads.keep(red.sha256, red.data)
    loop, calls = asyncio.get_running_loop(), 0

    async def put() -> None:
        await add(ingest, name, item("a", red.data))

    def is_the_call() -> bool:
        nonlocal calls
        calls += 1
        return calls == call + 1

    async def with_put(ask: Callable[[], Awaitable[Any]]) -> Any:
        is_now = is_the_call()
        if is_now and is_before:
            await put()
        answer = await ask()
        if is_now and not is_before:
            await put()
        return answer

    original = getattr(store if step == "used_sha256s" else uploads, step)
    if step == "used_sha256s":
        monkeypatch.setattr(store, step, lambda sha256s: with_put(lambda: original(sha256s)))
    else:

        async def in_thread(sha256: str) -> None:
            await asyncio.to_thread(original, sha256)

        def from_thread(sha256: str) -> None:
            asyncio.run_coroutine_threadsafe(with_put(lambda: in_thread(sha256)), loop).result()

        monkeypatch.setattr(uploads, step, from_thread)
    await cleanup.clean([red.sha256])
    monkeypatch.undo()

    if calls <= call:
        await put()
    assert uploads.read(red.sha256) == red.data
