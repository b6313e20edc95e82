"""What stands behind a Milvus URI: the engine, its version, and how much memory it has for what is searched."""

from dataclasses import dataclass

import grpc
import orjson
from pymilvus import AsyncMilvusClient
from pymilvus.grpc_gen import milvus_pb2

from services.stores.filters.expression import Engine

Version = tuple[int, ...]
ANY_VERSION: Version = (0,)


@dataclass(frozen=True, slots=True)
class Machine:
    """An engine; `memory_bytes` is that of all nodes that search, 0 where it is not known."""

    engine: Engine
    version: Version = ANY_VERSION
    memory_bytes: int = 0


async def machine_of(client: AsyncMilvusClient) -> Machine:
    """Milvus Lite's C++ engine is the one that cannot tell its version."""
    try:
        version = await client.get_server_version(retry_times=0)
    except grpc.RpcError as error:
        if error.code() is grpc.StatusCode.UNIMPLEMENTED:
            return Machine(Engine.LITE)
        raise
    return Machine(Engine.SERVER, version_of(version))


async def memory_of(client: AsyncMilvusClient, timeout_s: float) -> int:
    """The memory of all nodes that search, in bytes; 0 where the server does not tell."""
    request = milvus_pb2.GetMetricsRequest(request='{"metric_type": "system_info"}')
    try:
        # pymilvus has no method for it.
        answer = await client._handler._async_stub.GetMetrics(request, timeout=timeout_s)  # noqa: SLF001
        nodes = [node["infos"] for node in orjson.loads(answer.response)["nodes_info"]]
    except (grpc.RpcError, orjson.JSONDecodeError, KeyError):
        return 0  # one without the right to ask, or an older server
    return sum(int(node["hardware_infos"]["memory"]) for node in nodes if node["type"] == "querynode")


def version_of(version: str) -> Version:
    """The numbers of a version such as v2.3.5 or 2.6.0-rc1; any version where it has none."""
    numbers = []
    for part in version.lstrip("v").split("-")[0].split("."):
        if not part.isdecimal():
            break
        numbers.append(int(part))
    return tuple(numbers) or ANY_VERSION
