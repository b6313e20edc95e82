"""Collections, images and embeddings for the tests of the stores."""

import hashlib
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import numpy as np

from domain.detection import Detection
from rpc.deadline import Deadline
from rpc.errors import ServiceError
from services.stores.images import ImageStore
from services.stores.queries import FindResult, NearestQuery
from services.stores.records import (
    WHOLE_IMAGE_REGION,
    Collection,
    CollectionMode,
    Embeddings,
    NewImage,
    PutStatus,
)

DIMENSION = 16


def a_collection(name: str, mode: CollectionMode = CollectionMode.WHOLE_IMAGE, index: str = "") -> Collection:
    """A collection of our small embeddings."""
    return Collection(
        name=name,
        space="space",
        encoder="encoder",
        detector="detector" if mode is CollectionMode.OBJECTS else "",
        mode=mode,
        index=index,
        dimension=DIMENSION,
        create_time_s=1.0,
    )


def unit_embeddings(count: int, seed: int = 0, dimension: int = DIMENSION) -> Embeddings:
    """Random unit vectors (count, dimension)."""
    drawn = np.random.default_rng(seed).normal(size=(count, dimension)).astype(np.float32)
    unit: Embeddings = drawn / np.linalg.norm(drawn, axis=1, keepdims=True)
    return unit


def near(embedding: Embeddings, cosine: float) -> Embeddings:
    """A unit vector (D,) that has this cosine with `embedding`."""
    other = unit_embeddings(1, seed=99, dimension=len(embedding))[0]
    across = other - (other @ embedding) * embedding
    across /= np.linalg.norm(across)
    mixed: Embeddings = (cosine * embedding + np.sqrt(1 - cosine**2) * across).astype(np.float32)
    return mixed


def new_image(
    uri: str,
    embedding: Embeddings,
    metadata: dict[str, Any] | None = None,
    *,
    content: str = "",
    regions: Sequence[Detection] = (WHOLE_IMAGE_REGION,),
) -> NewImage:
    """An image whose bytes are `content`, or its uri; `embedding` is (D,) or (R, D)."""
    return NewImage(
        uri=uri,
        sha256=hashlib.sha256((content or uri).encode(errors="replace")).hexdigest(),
        width_px=640,
        height_px=480,
        metadata=metadata or {},
        regions=tuple(regions),
        embeddings=np.atleast_2d(embedding),
    )


@asynccontextmanager
async def opened(milvus_uri: str, redis_url: str) -> AsyncIterator[ImageStore]:
    """A store of its own connections."""
    store = await ImageStore.open(milvus_uri, redis_url)
    try:
        yield store
    finally:
        await store.close()


def soon() -> Deadline:
    """Long enough for a slow machine."""
    return Deadline.after(60)


async def put(store: ImageStore, name: str, *images: NewImage) -> list[PutStatus | None]:
    """Put images; what became of each."""
    results = await store.put(name, images, soon())
    for result in results:
        if result.error is not None:
            raise result.error
    return [result.status for result in results]


async def find(store: ImageStore, name: str, embeddings: Embeddings, limit: int = 10, **options: Any) -> FindResult:
    """Find with what the test cares about."""
    space = options.pop("space", "")
    query = NearestQuery(np.atleast_2d(embeddings), limit, **options)
    (outcome,) = await store.find(name, [query], soon(), space=space)
    if isinstance(outcome, ServiceError):
        raise outcome
    return outcome


async def uris(store: ImageStore, name: str, embeddings: Embeddings, limit: int = 10, **options: Any) -> list[str]:
    """The uris found, best first."""
    return [hit.record.uri for hit in (await find(store, name, embeddings, limit, **options)).hits]
