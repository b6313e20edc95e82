"""Options of channels and servers: gRPC ignores a name that it does not know, so the names are looked up in it."""

import re
from importlib import import_module
from pathlib import Path

import pytest

from tests.support.processes import REPOSITORY

PACKAGES = ("rpc", "services", "gateway", "cli", "training", "benchmarks", "tests", "scripts")


# A channel option's name stands first in a pair or as a key. The text is searched, not parsed: a syntax tree of every
# file costs seconds and memory.
OPTION = re.compile(r"""["'](grpc\.[a-z0-9_.]+)["']\s*[,:]""")


def options(path: Path) -> list[str]:
    """Every string of a file that stands where an option's name would."""
    return OPTION.findall(path.read_text())


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
