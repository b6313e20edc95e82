"""Start-up: processes may start in any order, so the store is opened as soon as Milvus answers."""

import asyncio
import logging

from rpc.errors import DeadlineExceeded, Unavailable
from services.stores.causes import cause_of
from services.stores.images import ImageStore

_PERIOD_S = 1.0

logger = logging.getLogger(__name__)


async def open_when_up(milvus_uri: str, redis_url: str) -> ImageStore:
    """The store; waits for Milvus as long as it takes. Redis may come later still: the first call will tell."""
    said = ""
    while True:
        try:
            return await ImageStore.open(milvus_uri, redis_url)
        except (Unavailable, DeadlineExceeded) as error:
            if (cause := cause_of(error)) != said:
                logger.warning("waiting for Milvus: %s", cause, extra={"cause": cause})
                said = cause
            await asyncio.sleep(_PERIOD_S)
