"""Server reflection under v1 and v1alpha, so that grpcurl, ghz and buf need no proto files."""

from collections.abc import Sequence
from typing import Any

import grpc
from google.protobuf import descriptor_pb2, descriptor_pool, text_format
from google.protobuf.descriptor import FileDescriptor
from grpc_reflection.v1alpha import reflection, reflection_pb2
from grpc_reflection.v1alpha.reflection_pb2 import ServerReflectionRequest, ServerReflectionResponse

_V1_PACKAGE = "grpc.reflection.v1"
_V1 = f"{_V1_PACKAGE}.ServerReflection"


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
    """The descriptor pool, with what it does not find: reflection v1 itself, and methods by their full names, as ghz asks."""

    def __init__(self) -> None:
        self._pool = descriptor_pool.Default()
        self._reflection_v1 = _reflection_v1()

    def FindFileByName(self, name: str) -> FileDescriptor:  # noqa: N802 - protobuf named it
        """A file by its path; KeyError where there is none."""
        return self._reflection_v1 if name == self._reflection_v1.name else self._pool.FindFileByName(name)

    def FindFileContainingSymbol(self, symbol: str) -> FileDescriptor:  # noqa: N802 - protobuf named it
        """The file of a message, an enum, a service or a method; KeyError for anything else."""
        if symbol.startswith(f"{_V1_PACKAGE}."):
            return self._reflection_v1.pool.FindFileContainingSymbol(symbol)
        try:
            return self._pool.FindFileContainingSymbol(symbol)
        except KeyError:
            service, _, method = symbol.rpartition(".")
            found = self._pool.FindServiceByName(service)
            return found.methods_by_name[method].containing_service.file

    def __getattr__(self, name: str) -> Any:
        return getattr(self._pool, name)


def _reflection_v1() -> FileDescriptor:
    """The contract of reflection v1, which the library lacks: v1alpha's under another name.

    It has a pool of its own, because another library of the process may register the same file.
    """
    file = descriptor_pb2.FileDescriptorProto()
    reflection_pb2.DESCRIPTOR.CopyToProto(file)
    file.ClearField("options")  # they name v1alpha's packages, and say that it is deprecated
    text = text_format.MessageToString(file).replace("v1alpha", "v1")
    pool = descriptor_pool.DescriptorPool()
    pool.Add(text_format.Parse(text, descriptor_pb2.FileDescriptorProto()))
    return pool.FindFileContainingSymbol(_V1)
