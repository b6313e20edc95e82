"""`python -m services.stores`: asks both stores once and says what is wrong with each, for `fovea doctor`.

The URLs come as JSON on the standard input, because every user of a machine can read the arguments of its processes:
`{"milvus": URL, "redis": URL}`, either may be absent. The answer is `{"milvus": cause, "redis": cause}`, empty where the
store works.
"""

import asyncio
import json
import logging
import sys

from rpc.deadline import Deadline
from rpc.errors import ServiceError
from services.stores.causes import cause_of
from services.stores.milvus.store import RowStore
from services.stores.redis.catalog import RedisCatalog

TIMEOUT_S = 10.0


async def fault_of(kind: str, url: str) -> str:
    """Why this store cannot be used, in a sentence; empty where it can."""
    try:
        store: RowStore | RedisCatalog = await RowStore.open(url) if kind == "milvus" else RedisCatalog.open(url)
        try:
            await store.ping(Deadline.after(TIMEOUT_S))
        finally:
            await store.close()
    except ServiceError as error:
        # An error without a cause is our own, and says what to do.
        return cause_of(error) if error.__cause__ else error.message
    return ""


if __name__ == "__main__":
    logging.disable()  # the answer has it all
    faults = {kind: asyncio.run(fault_of(kind, url)) for kind, url in json.load(sys.stdin).items()}
    json.dump(faults, sys.stdout)
