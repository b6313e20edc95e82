"""The programs in examples/ compile from the contract as it is, and fill and ask a running `fovea up`."""

import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from tests.cli.running import Up
from tests.support.bundles import tiny_image_bundle
from tests.support.images import encoded, plain

ROOT = Path(__file__).resolve().parents[1]
EXAMPLES = ROOT / "examples"
PATH = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"], "/usr/local/go/bin"])

pytestmark = [pytest.mark.more, pytest.mark.timeout(900)]


@pytest.fixture(scope="module")
def up(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    models = tmp_path_factory.mktemp("models")
    tiny_image_bundle(models / "tiny", is_default=True)
    with Up(tmp_path_factory.mktemp("data"), models) as running:
        yield running
        assert running.stop(signal.SIGINT) == 0


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """A folder with an image of each of three colours."""
    for colour in ("red", "green", "blue"):
        (tmp_path / f"{colour}.jpg").write_bytes(encoded(plain(colour), "JPEG"))
    return tmp_path


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The examples and the contract alone, so that nothing is built in the checkout."""
    folder = tmp_path_factory.mktemp("checkout")
    built = shutil.ignore_patterns("node_modules", "gen", "dist", "__pycache__")
    for name in ("examples", "protos"):
        shutil.copytree(ROOT / name, folder / name, ignore=built)
    return folder / "examples"


def run(folder: Path, *command: str, variables: Mapping[str, str] | None = None) -> str:
    """What a program printed; it must end well."""
    environment = {**os.environ, "PATH": PATH, **(variables or {})}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{' '.join(command)}: {done.stdout}\n{done.stderr}"
    return done.stdout


def require(program: str) -> None:
    """Skip where a toolchain is missing."""
    if not shutil.which(program, path=PATH):
        pytest.skip(f"{program} is not installed")


def addresses(up: Up, images: Path) -> list[str]:
    """The arguments that every example takes."""
    return [up.run["search"], up.run["ingest"], str(images)]


def hits(output: str) -> list[str]:
    """The names of the images that were found, best first; every image was added before."""
    lines = output.splitlines()
    assert sum("added" in line.lower() for line in lines) == 3, output
    return [Path(line.split()[1]).stem for line in lines if line[0].isdigit() or line.startswith("-")]


def test_python(up: Up, images: Path) -> None:
    """With the client."""
    found = hits(run(EXAMPLES / "python", sys.executable, "search.py", *addresses(up, images)))

    assert found[0] == "blue"
    assert len(found) == 3


def test_go(up: Up, images: Path, checkout: Path) -> None:
    """With stubs that buf generates; the modules come from Go's proxy or its cache."""
    require("go")
    run(checkout / "go", "buf", "generate")
    run(checkout / "go", "go", "vet", "./...")
    found = hits(run(checkout / "go", "go", "run", ".", *addresses(up, images)))

    assert found[0] == "blue"
    assert len(found) == 3


def test_typescript(up: Up, images: Path, checkout: Path) -> None:
    """With stubs that buf generates; the packages come from npm or its cache."""
    require("npm")
    run(checkout / "typescript", "npm", "ci", "--no-audit", "--no-fund", "--prefer-offline")
    run(checkout / "typescript", "npm", "run", "build")
    found = hits(run(checkout / "typescript", "node", "dist/search.js", *addresses(up, images)))

    assert found[0] == "blue"
    assert len(found) == 3


_RUN_CELLS = """
import ast, json, sys

names = {}
for cell in json.load(open(sys.argv[1]))["cells"]:
    if cell["cell_type"] != "code":
        continue
    tree = ast.parse("".join(cell["source"]))
    last = tree.body.pop() if isinstance(tree.body[-1], ast.Expr) else None
    exec(compile(tree, sys.argv[1], "exec"), names)
    if last is not None:
        shown = eval(compile(ast.Expression(last.value), sys.argv[1], "eval"), names)
        print(shown._repr_html_() if hasattr(shown, "_repr_html_") else shown)
"""


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A home whose default data folder has a system with the models that ship."""
    folder = tmp_path_factory.mktemp("home")
    with Up(folder / ".local" / "share" / "fovea"):
        yield folder


@pytest.mark.parametrize(
    ("name", "figure"),
    [
        ("text_sketch", r"recall@1 by both: (\S+)"),
        ("pedestrians", r"rank-10: (\S+)"),
        ("cars", r"recall@1: (\S+)"),
        ("objects", r"(\S+) tree "),
    ],
)
def test_notebook(home: Path, name: str, figure: str) -> None:
    """Every cell runs, images are shown, and what is looked for is found more often than not."""
    folder = EXAMPLES / "notebooks"
    said = run(folder, sys.executable, "-c", _RUN_CELLS, f"{name}.ipynb", variables={"HOME": str(home)})

    found = re.search(figure, said)
    assert found is not None, said[-2_000:]
    assert float(found[1]) > 0.5
    assert "base64," in said
