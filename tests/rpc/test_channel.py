"""Options of channels and servers: gRPC ignores a name that it does not know, so the names are looked up in it."""

import ast
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import pytest

from tests.support.services import REPOSITORY

PACKAGES = ("rpc", "services", "gateway", "cli", "training", "benchmarks", "tests", "scripts")


def options(path: Path) -> Iterator[str]:
    """Every string of a file that stands where a channel option's name would: first of a pair, or a key."""
    for node in ast.walk(ast.parse(path.read_text())):
        candidates: list[ast.expr | None] = []
        if isinstance(node, ast.Tuple) and len(node.elts) == 2:
            candidates = [node.elts[0]]
        elif isinstance(node, ast.Dict):
            candidates = list(node.keys)
        for candidate in candidates:
            if isinstance(candidate, ast.Constant) and str(candidate.value).startswith("grpc."):
                yield str(candidate.value)


@pytest.fixture(scope="module")
def library() -> bytes:
    path = import_module("grpc._cython.cygrpc").__file__
    assert path
    return Path(path).read_bytes()


@pytest.mark.parametrize("package", PACKAGES)
def test_every_option_is_one_that_grpc_knows(package: str, library: bytes) -> None:
    """Each option name in the code is a string of the library itself, to its last letter."""
    used = {name for path in (REPOSITORY / package).rglob("*.py") for name in options(path)}

    assert {name for name in used if name.encode() + b"\0" not in library} == set()
    assert used or package not in ("rpc", "services")
