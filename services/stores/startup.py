"""Start-up: processes may start in any order, so the store is opened as soon as Milvus answers."""

import asyncio
import logging

from rpc.errors import Unavailable
from services.stores.images import ImageStore

_PERIOD_S = 1.0

logger = logging.getLogger(__name__)


async def open_when_up(milvus_uri: str, redis_url: str) -> ImageStore:
    """The store; waits for Milvus as long as it takes. Redis may come later still: the first call will tell."""
    while True:
        try:
            return await ImageStore.open(milvus_uri, redis_url)
        except Unavailable as error:
            logger.warning("waiting for the stores", extra={"cause": error.message})
            await asyncio.sleep(_PERIOD_S)
