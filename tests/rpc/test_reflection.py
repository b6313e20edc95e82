"""Reflection over a real port, asked by hand and by the tools that people use."""

import asyncio
import os
import shutil
import sys
from asyncio.subprocess import PIPE, STDOUT
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf.descriptor_pb2 import FileDescriptorProto
from grpc_reflection.v1alpha import reflection_pb2

from tests.rpc.conftest import SERVICE

TOOLS = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"], str(Path.home() / "go" / "bin")])


async def reflect(port: int, request: reflection_pb2.ServerReflectionRequest, version: str = "v1") -> Any:
    """What reflection answers."""
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        call = channel.stream_stream(
            f"/grpc.reflection.{version}.ServerReflection/ServerReflectionInfo",
            request_serializer=reflection_pb2.ServerReflectionRequest.SerializeToString,
            response_deserializer=reflection_pb2.ServerReflectionResponse.FromString,
        )(iter([request]))
        return await call.read()


@pytest.mark.parametrize("version", ["v1", "v1alpha"])
async def test_reflection(port: int, version: str) -> None:
    """Both reflection versions list the services."""
    response = await reflect(port, reflection_pb2.ServerReflectionRequest(list_services=""), version)

    names = {service.name for service in response.list_services_response.service}
    assert {SERVICE, "grpc.health.v1.Health", f"grpc.reflection.{version}.ServerReflection"} <= names


@pytest.mark.parametrize("version", ["v1", "v1alpha"])
async def test_reflection_describes_all_that_it_lists(port: int, version: str) -> None:
    """Tools that describe every listed service find each of them, reflection itself included."""
    listed = await reflect(port, reflection_pb2.ServerReflectionRequest(list_services=""), version)

    for service in listed.list_services_response.service:
        asked = reflection_pb2.ServerReflectionRequest(file_containing_symbol=service.name)
        described = await reflect(port, asked, version)
        files = map(FileDescriptorProto.FromString, described.file_descriptor_response.file_descriptor_proto)
        assert service.name in {f"{file.package}.{found.name}" for file in files for found in file.service}


async def test_reflection_serves_its_own_file(port: int) -> None:
    """The file of reflection v1 is found by the path that its own description has."""
    asked = reflection_pb2.ServerReflectionRequest(file_by_filename="grpc_reflection/v1/reflection.proto")

    (file,) = (await reflect(port, asked)).file_descriptor_response.file_descriptor_proto

    assert FileDescriptorProto.FromString(file).package == "grpc.reflection.v1"


@pytest.mark.parametrize(
    "command",
    [
        ("buf", "curl", "--protocol", "grpc", "--http2-prior-knowledge", "--list-methods", "http://127.0.0.1:{port}"),
        ("grpcurl", "-plaintext", "127.0.0.1:{port}", "describe"),
    ],
    ids=lambda command: command[0],
)
async def test_tools_without_proto_files_find_every_method(port: int, command: tuple[str, ...]) -> None:
    """They need nothing but the address, and end without an error."""
    program = shutil.which(command[0], path=TOOLS)
    if not program:
        pytest.skip(f"{command[0]} is not installed")
    arguments = [argument.format(port=port) for argument in command[1:]]

    process = await asyncio.create_subprocess_exec(program, *arguments, stdout=PIPE, stderr=STDOUT)
    said, _ = await process.communicate()

    assert process.returncode == 0, said.decode()
    assert all(name in said.decode() for name in (SERVICE, "grpc.health.v1.Health", "Encode", "ServerReflectionInfo"))


@pytest.mark.parametrize("symbol", ["", ".Encode", ".Nothing"])
async def test_reflection_knows_services_and_their_methods(port: int, symbol: str) -> None:
    """The contract is found by a service's name and by a method's, which is how ghz asks."""
    request = reflection_pb2.ServerReflectionRequest(file_containing_symbol=f"{SERVICE}{symbol}")

    response = await reflect(port, request)

    assert response.WhichOneof("message_response") == (
        "error_response" if symbol == ".Nothing" else "file_descriptor_response"
    )
