"""`python -m services.stores`: asks both stores once and says what is wrong with each, for `fovea doctor`.

The URLs come as JSON on the standard input, because the arguments of a process are read by everybody on its machine:
`{"milvus": URL, "redis": URL}`, either may be absent. The answer is `{"milvus": cause, "redis": cause}`, empty where it answers.
"""

import asyncio
import json
import logging
import sys

from rpc.deadline import Deadline
from rpc.errors import ServiceError
from services.stores.catalog import RedisCatalog
from services.stores.causes import cause_of
from services.stores.milvus import MilvusIndex

TIMEOUT_S = 10.0


async def milvus_fault(uri: str) -> str:
    """Why this Milvus cannot be used, in a sentence; empty where it can."""
    try:
        index = await MilvusIndex.open(uri)
        try:
            await index.ping(Deadline.after(TIMEOUT_S))
        finally:
            await index.close()
    except ServiceError as error:
        return cause_of(error)
    return ""


async def redis_fault(url: str) -> str:
    """Why this Redis cannot be used, in a sentence; empty where it can."""
    try:
        catalog = RedisCatalog.open(url)
        try:
            await catalog.ping(Deadline.after(TIMEOUT_S))
        finally:
            await catalog.close()
    except ServiceError as error:
        return cause_of(error) if error.__cause__ else error.message
    return ""


async def faults(urls: dict[str, str]) -> dict[str, str]:
    """What is wrong with each of the stores that were named."""
    asked = {"milvus": milvus_fault, "redis": redis_fault}
    return {store: await ask(urls[store]) for store, ask in asked.items() if store in urls}


if __name__ == "__main__":
    logging.disable()  # the answer says it all
    json.dump(asyncio.run(faults(json.load(sys.stdin))), sys.stdout)
