import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.running import FOVEA, Up
from tests.support.pictures import blocks, corners, encoded, plain

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text()

_BLOCK = re.compile(r"<!-- tested(?:: (?P<needs>\w+))? -->\n```sh\n(?P<commands>.*?)```", re.DOTALL)
BLOCKS = [(found["needs"] or "", found["commands"]) for found in _BLOCK.finditer(README)]
PATH = os.pathsep.join([str(Path(FOVEA).parent), os.environ["PATH"], str(Path.home() / "go" / "bin")])


@pytest.fixture(scope="module")
def up(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    """The system that the README starts, with the models that ship and a person's pictures in its data folder."""
    home = tmp_path_factory.mktemp("home")
    photos = home / "Pictures"
    photos.mkdir()
    pictures = {
        "cat": corners(),
        "dog": plain("yellow"),
        "sea": blocks({"blue": (0, 0.5, 1, 1)}),
        "rose": blocks({"red": (0.4, 0.3, 0.6, 0.5), "green": (0.45, 0.5, 0.55, 1)}),
    }
    for name, picture in pictures.items():
        (photos / f"{name}.jpg").write_bytes(encoded(picture, "JPEG"))
        (home / f"{name}.jpg").write_bytes(encoded(picture, "JPEG"))
    (photos / "about.jsonl").write_text('{"file": "cat.jpg", "metadata": {"year": 2024, "place": "Rome"}}\n')
    (home / "sketch.png").write_bytes(encoded(corners()))
    (home / "deploy").symlink_to(ROOT / "deploy")
    with Up(home / "data") as running:
        yield running


def shell(commands: str, up: Up) -> subprocess.CompletedProcess[str]:
    """Run a block as it stands there, with the addresses of the system that runs."""
    commands = commands.replace("127.0.0.1:8080", up.run["gateway"].removeprefix("http://"))
    commands = commands.replace("127.0.0.1:50051", up.run["search"])
    home = up.data.parent
    env = {"HOME": str(home), "PATH": PATH, "FOVEA_DATA": str(up.data), "LANG": "C.UTF-8"}
    return subprocess.run(
        ["bash", "-euo", "pipefail", "-c", commands], cwd=home, env=env, capture_output=True, text=True, check=False
    )


@pytest.fixture(scope="module")
def filled(up: Up) -> Up:
    """The same system after all that the README does with the command itself."""
    for needs, commands in BLOCKS:
        if not needs:
            done = shell(commands, up)
            assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    return up


@pytest.mark.parametrize(
    ("tool", "wanted"),
    [("fovea", "holidays"), ("curl", '"hits"'), ("grpcurl", '"image_?[iI]d"'), ("ghz", r"\[OK\]\s+\d+ resp")],
)
def test_commands_of_the_readme_work(filled: Up, tool: str, wanted: str) -> None:
    """What the README tells people to type does what it says, where they have the tool."""
    if not shutil.which(tool, path=PATH):
        pytest.skip(f"{tool} is not installed")
    commands = dict(BLOCKS).get(tool, "fovea collections list")

    done = shell(commands, filled)

    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    assert re.search(wanted, done.stdout)
    assert "Error distribution" not in done.stdout


def test_every_file_that_the_readme_links_is_there() -> None:
    """No link of the README leads nowhere."""
    linked = re.findall(r"\]\((?!https?:)([^)#]+)\)", README)

    assert [name for name in linked if not (ROOT / name).exists()] == []


def test_every_make_target_that_the_documents_name_is_there() -> None:
    """`make` knows what README and CONTRIBUTING tell people to make."""
    makefile = (ROOT / "Makefile").read_text()
    documents = README + (ROOT / "CONTRIBUTING.md").read_text()
    targets = set(re.findall(r"(?:`|^)make ([a-z-]+)", documents, re.MULTILINE))

    assert [target for target in targets if not re.search(rf"^{target}:", makefile, re.MULTILINE)] == []
