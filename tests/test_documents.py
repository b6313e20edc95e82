"""README, docs/ and CONTRIBUTING: their commands run, their links lead somewhere, their tables are those of the code."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import pytest
from prometheus_client import REGISTRY

from domain import reasons
from gateway.app import API, create_app
from gateway.settings import GatewaySettings
from tests.cli.running import FOVEA, Up
from tests.support.images import blocks, corners, encoded, plain

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
# The order in which a reader meets them: the commands of a page may use what an earlier page made.
TESTED_PAGES = (
    "README.md",
    "docs/collections.md",
    "docs/reindexing.md",
    "docs/scrub.md",
    "docs/queries.md",
    "docs/client.md",
    "docs/grpc.md",
    "docs/http.md",
    "docs/jobs.md",
    "docs/operations.md",
    "docs/security.md",
)
PAGES = sorted([*ROOT.glob("*.md"), ROOT / "training" / "README.md", ROOT / "world" / "README.md", *DOCS.rglob("*.md")])
PATH = os.pathsep.join([str(Path(FOVEA).parent), os.environ["PATH"], str(Path.home() / "go" / "bin")])

_BLOCK = re.compile(r"<!-- tested(?:: (?P<tool>\w+))? -->\n```(?P<language>sh|python)\n(?P<commands>.*?)```", re.DOTALL)
_OUTPUT: Mapping[str, str] = {
    "python": "cat",
    "curl": '"hits"',
    "encode": '"embedding"',
    "jobs": '"state"',
    "grpcurl": '"image_?[iI]d"',
    "ghz": r"\[OK\]\s+\d+ resp",
}


@dataclass(frozen=True, slots=True)
class Block:
    """Commands of a page; `tool` is the program that a reader needs for them, empty where it is Fovea's own command."""

    page: str
    tool: str
    commands: str

    def __str__(self) -> str:
        return f"{self.page}-{self.tool}"


def blocks_of(page: str) -> Iterator[Block]:
    """The tested blocks of a page, in order."""
    for found in _BLOCK.finditer((ROOT / page).read_text()):
        yield Block(page, found["tool"] or "", found["commands"])


BLOCKS = [block for page in TESTED_PAGES for block in blocks_of(page)]


@pytest.fixture(scope="module")
def up(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    """The system that the README starts: the models that ship, a home folder with a few photos, the default data folder."""
    home = tmp_path_factory.mktemp("home")
    photos = home / "photos"
    photos.mkdir()
    images = {
        "cat": corners(),
        "dog": plain("yellow"),
        "sea": blocks({"blue": (0, 0.5, 1, 1)}),
        "rose": blocks({"red": (0.4, 0.3, 0.6, 0.5), "green": (0.45, 0.5, 0.55, 1)}),
    }
    for name, image in images.items():
        (photos / f"{name}.jpg").write_bytes(encoded(image, "JPEG"))
        (home / f"{name}.jpg").write_bytes(encoded(image, "JPEG"))
    (photos / "about.jsonl").write_text('{"file": "cat.jpg", "metadata": {"year": 2024, "place": "Rome"}}\n')
    (home / "sketch.png").write_bytes(encoded(corners()))
    (home / "deploy").symlink_to(ROOT / "deploy")
    data = home / ".local" / "share" / "fovea"
    with Up(data) as running:
        yield running


def run(block: Block, up: Up) -> subprocess.CompletedProcess[str]:
    """Run a block as it is on the page, with the addresses of the running system."""
    commands = block.commands.replace("127.0.0.1:8080", up.run["gateway"].removeprefix("http://"))
    commands = commands.replace("127.0.0.1:50051", up.run["search"])
    home = up.data.parents[2]
    env = {"HOME": str(home), "PATH": PATH, "LANG": "C.UTF-8"}
    argv = [sys.executable, "-c"] if block.tool == "python" else ["bash", "-euo", "pipefail", "-c"]
    return subprocess.run([*argv, commands], cwd=home, env=env, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def filled(up: Up) -> Up:
    """The same system after all commands that need nothing but Fovea."""
    for block in BLOCKS:
        if not block.tool:
            done = run(block, up)
            assert done.returncode == 0, f"{block}: {done.stdout}\n{done.stderr}"
    return up


@pytest.mark.parametrize("block", [block for block in BLOCKS if block.tool in _OUTPUT], ids=str)
def test_commands_of_the_pages_work(filled: Up, block: Block) -> None:
    """What a page tells readers to run does what the page says, where they have the tool."""
    program = "curl" if block.tool in ("encode", "jobs") else block.tool
    if program != "python" and not shutil.which(program, path=PATH):
        pytest.skip(f"{program} is not installed")

    done = run(block, filled)

    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    assert re.search(_OUTPUT[block.tool], done.stdout)
    assert "Error distribution" not in done.stdout  # of ghz
    assert '"title"' not in done.stdout  # of a problem document


def test_every_tested_block_is_found() -> None:
    """No page has a tested block that this test does not run, and none is marked in a way that it does not know."""
    marked = sum(len(re.findall(r"^<!-- tested", page.read_text(), re.MULTILINE)) for page in PAGES)

    assert marked == len(BLOCKS)
    assert {block.tool for block in BLOCKS} <= {"", "background", *_OUTPUT}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_of_a_page_leads_somewhere(page: Path) -> None:
    """The file that a link names is there, and so is the heading."""
    for name, heading in re.findall(r"\]\((?!https?:)([^)#\s]*)(?:#([^)\s]+))?\)", page.read_text()):
        target = page.parent / name if name else page
        assert target.exists(), f"{name} is not there"
        assert not heading or heading in headings(target), f"{name} has no heading {heading}"


def headings(page: Path) -> set[str]:
    """The headings of a page as they are written in links."""
    lines = re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", line.lower()).replace(" ", "-") for line in lines}


def test_every_page_is_in_the_index() -> None:
    """A reader finds every page from docs/README.md."""
    index = (DOCS / "README.md").read_text()
    names = {str(page.relative_to(DOCS)) for page in DOCS.rglob("*.md")} - {"README.md"}

    assert {name for name in names if f"]({name})" not in index} == set()


def test_every_make_target_that_the_pages_name_is_there() -> None:
    """`make` knows what the pages tell readers to make."""
    makefile = (ROOT / "Makefile").read_text()
    text = "\n".join(page.read_text() for page in PAGES)
    targets = set(re.findall(r"(?:`|^)make ([a-z-]+)", text, re.MULTILINE))

    assert [target for target in targets if not re.search(rf"^{target}:", makefile, re.MULTILINE)] == []


def test_every_module_that_the_pages_run_is_there() -> None:
    """`python -m` finds what the pages tell readers to run."""
    text = "\n".join(page.read_text() for page in PAGES)
    modules = set(re.findall(r"python -m ([a-z_.]*[a-z_])", text))

    assert [name for name in modules if find_spec(name) is None] == []


def test_every_route_is_on_its_page() -> None:
    """docs/http.md names the path of every route."""
    page = (DOCS / "http.md").read_text()
    paths = [path.removeprefix(API) for path in create_app(GatewaySettings()).openapi()["paths"]]

    assert [path for path in paths if f"{path}`" not in page] == []


def test_every_metric_and_reason_is_on_its_page() -> None:
    """docs/operations.md names every metric, docs/grpc.md and docs/http.md every reason that a caller can get."""
    operations = (DOCS / "operations.md").read_text()
    calling = (DOCS / "grpc.md").read_text() + (DOCS / "http.md").read_text()
    metrics = [metric.name for metric in REGISTRY.collect() if metric.name.startswith("fovea_")]
    named = {value for name, value in vars(reasons).items() if name.isupper()}
    named -= {reasons.NOT_READY}  # is logged and shows in the health of the service, no call ends with it

    assert metrics
    assert [name for name in metrics if f"`{name}" not in operations] == []
    assert [name for name in named if f"`{name}`" not in calling] == []
