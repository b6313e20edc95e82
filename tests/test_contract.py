"""The contract in protos/: its stubs are fresh, it compiles anywhere, and a change that breaks clients is found."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

PROTOS = Path(__file__).resolve().parents[1] / "protos"


def check(folder: Path) -> subprocess.CompletedProcess[str]:
    """What `make check` says of the contract in a folder."""
    command = [sys.executable, str(folder / "compile.py"), "--check"]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    return shutil.copytree(PROTOS, tmp_path / "protos", ignore=shutil.ignore_patterns("__pycache__"))


def test_contract_may_be_shipped(copy: Path) -> None:
    """Its own folder is all that it needs: a copy of it compiles, lints, and breaks nothing that the last release had."""
    done = check(copy)

    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("old", "new", "finding"),
    [
        ("string uri = 2;", "string uri = 112;", 'Previously present field "2" with name "uri"'),
        ("float score = 3;", "float similarity = 3;", 'changed name from "score" to "similarity"'),
        ("rpc Search(", "rpc Find(", 'Previously present RPC "Search"'),
        ('go_package = "fovea', 'go_package = "other', 'File option "go_package" changed'),
        ("  // Position in", "  //\n  int32 undescribed = 99;\n  // Position in", 'Field "undescribed" should have a'),
    ],
)
def test_change_that_breaks_clients_is_found(copy: Path, old: str, new: str, finding: str) -> None:
    """A field, a method or a package that clients use stays as it was released, and what is added has a comment."""
    proto = copy / "fovea" / "search" / "v1" / "search.proto"
    proto.write_text(proto.read_text().replace(old, new, 1))

    done = check(copy)

    assert done.returncode == 1
    assert finding in done.stdout
    assert "protos/fovea/search/v1/search_pb2.py is stale" in done.stdout


@pytest.mark.parametrize("proto", sorted(PROTOS.rglob("*.proto")), ids=lambda proto: proto.name)
def test_every_file_names_its_packages(proto: Path) -> None:
    """Go and Java compile each file as it is; C# does where the contract is ours."""
    options = set(re.findall(r"^option (\w+) = ", proto.read_text(), re.MULTILINE))
    expected = {"go_package", "java_package", "java_multiple_files"}

    assert options >= (expected if "google" in proto.parts else expected | {"csharp_namespace"})
