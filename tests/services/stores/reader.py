"""A process that searches: reads embeddings in hex from stdin, one a line, and prints the best uri for each."""

import asyncio
import sys

import numpy as np

from rpc.deadline import Deadline
from services.stores.images import ImageStore
from services.stores.queries import FindResult, NearestQuery


async def main(milvus_uri: str, redis_url: str, name: str) -> None:
    """Answer until stdin ends."""
    store = await ImageStore.open(milvus_uri, redis_url)
    await store.counts(name)
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    for line in sys.stdin:
        embedding = np.frombuffer(bytes.fromhex(line), dtype=np.float32)
        (found,) = await store.find(name, [NearestQuery(embedding[np.newaxis], limit=1)], Deadline.after(20))
        assert isinstance(found, FindResult)
        sys.stdout.write((found.hits[0].record.uri if found.hits else "nothing") + "\n")
        sys.stdout.flush()
    await store.close()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
