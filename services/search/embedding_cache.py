"""Embeddings of contents that were queries lately, so that scrolling and changing a filter do not encode them again."""

import asyncio
import hashlib
from collections import OrderedDict
from typing import NamedTuple

from prometheus_client import Counter

from domain.box import Box
from domain.modality import Modality
from rpc.clients import Embedded, EncoderInfo, Input

LOOKUPS = Counter("fovea_embedding_cache_lookups_total", "Contents of queries looked up.", ["outcome"])

# What an entry takes beside its numbers, measured with 512 of them: key, arrays' heads, dictionary.
_ENTRY_BYTES = 900
_HASHED_ON_LOOP = 256 << 10  # bytes; hashing more would hold the event loop for a millisecond


class EmbeddingKey(NamedTuple):
    """What decides an embedding: the content and its region, and the model that embeds it into the space."""

    space: str
    encoder: str
    revision: str
    modality: Modality
    content_sha256: bytes
    region: Box | None


class EmbeddingCache:
    """A bounded number of embeddings; the least recently used one is forgotten first."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._bytes = 0
        self._entries: OrderedDict[EmbeddingKey, Embedded] = OrderedDict()

    def get(self, key: EmbeddingKey) -> Embedded | None:
        """The embedding, or None where it is not known, or no longer."""
        if key in self._entries:
            self._entries.move_to_end(key)
        return self._entries.get(key)

    def put(self, key: EmbeddingKey, embedded: Embedded) -> None:
        """Remember an embedding, and forget others if need be."""
        if (known := self._entries.pop(key, None)) is not None:
            self._bytes -= _size(known)
        self._entries[key] = embedded
        self._bytes += _size(embedded)
        while self._bytes > self._max_bytes:
            _, forgotten = self._entries.popitem(last=False)
            self._bytes -= _size(forgotten)


async def keys_of(content: Input, encoder: EncoderInfo) -> list[EmbeddingKey]:
    """The key of each outcome of an input."""
    data = content.content.encode() if isinstance(content.content, str) else content.content
    digest = await asyncio.to_thread(_sha256, data) if len(data) > _HASHED_ON_LOOP else _sha256(data)
    # A model file that was replaced under the same name and space is another revision.
    revision = f"{encoder.version} {encoder.sha256}"
    return [
        EmbeddingKey(encoder.space, encoder.name, revision, content.modality, digest, region)
        for region in content.regions or (None,)
    ]


def _sha256(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()


def _size(embedded: Embedded) -> int:
    return embedded.embedding.nbytes + sum(map(len, embedded.warnings)) + _ENTRY_BYTES
