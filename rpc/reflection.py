"""Server reflection under v1 and v1alpha, so that grpcurl and ghz need no proto files."""

from collections.abc import Sequence
from typing import Any

import grpc
from google.protobuf import descriptor_pool
from google.protobuf.descriptor import FileDescriptor
from grpc_reflection.v1alpha import reflection
from grpc_reflection.v1alpha.reflection_pb2 import ServerReflectionRequest, ServerReflectionResponse

_V1 = "grpc.reflection.v1.ServerReflection"


def add_reflection(server: grpc.Server | grpc.aio.Server, services: Sequence[str]) -> None:
    """Binds one servicer under both names: the two versions' messages are the same on the wire."""
    names = [*services, _V1, reflection.SERVICE_NAME]
    is_async = isinstance(server, grpc.aio.Server)
    kind = reflection.aio.ReflectionServicer if is_async else reflection.ReflectionServicer  # type: ignore[attr-defined]
    servicer = kind(names, pool=_Symbols())
    handler = grpc.stream_stream_rpc_method_handler(
        servicer.ServerReflectionInfo,
        request_deserializer=ServerReflectionRequest.FromString,
        response_serializer=ServerReflectionResponse.SerializeToString,
    )
    for name in (_V1, reflection.SERVICE_NAME):
        generic = grpc.method_handlers_generic_handler(name, {"ServerReflectionInfo": handler})
        server.add_generic_rpc_handlers((generic,))


class _Symbols:
    """The descriptor pool, which finds methods by their full names too: ghz asks for those, and the pool alone does not find them."""

    def __init__(self) -> None:
        self._pool = descriptor_pool.Default()

    def FindFileContainingSymbol(self, symbol: str) -> FileDescriptor:  # noqa: N802 - protobuf named it
        """The file of a message, an enum, a service or a method; KeyError for anything else."""
        try:
            return self._pool.FindFileContainingSymbol(symbol)
        except KeyError:
            service, _, method = symbol.rpartition(".")
            found = self._pool.FindServiceByName(service)
            return found.methods_by_name[method].containing_service.file

    def __getattr__(self, name: str) -> Any:
        return getattr(self._pool, name)
