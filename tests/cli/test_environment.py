"""What the command meets on other people's machines: odd homes, folders, texts and interrupts."""

import io
import os
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console
from typer.testing import CliRunner, Result

from cli.main import app
from cli.output import show, show_fitting
from tests.cli.running import FOVEA

WITHOUT_A_SYSTEM = [
    "search -c photos --text cat",
    "ingest {folder} -c photos",
    "encode cat --encoder general -o {folder}/out.npy",
    "collections list",
    "collections show photos",
    "collections create photos --encoder general",
    "collections delete photos --yes",
]


def fovea(*arguments: object, **environment: str | None) -> Result:
    """Run a command to its end in this process."""
    return CliRunner().invoke(app, [str(argument) for argument in arguments], env=environment)


def line(result: Result) -> str:
    """The one line with which a command must have failed."""
    lines = [said for said in result.stderr.splitlines() if said.strip()]
    assert (result.exit_code, len(lines)) == (1, 1), (result.exit_code, result.output, result.exception)
    return lines[0]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a file that is called like an image."""
    (tmp_path / "cat.png").write_bytes(b"")
    return tmp_path


@pytest.mark.parametrize("command", WITHOUT_A_SYSTEM)
def test_without_a_system_a_command_says_what_to_do(folder: Path, command: str) -> None:
    """One line that names the data folder and `fovea up`."""
    said = line(fovea(*command.format(folder=folder).split(), FOVEA_DATA=str(folder / "none")))

    assert f"Fovea does not run on {folder / 'none'}: start it with `fovea up`" in said


@pytest.mark.parametrize("command", WITHOUT_A_SYSTEM)
@pytest.mark.parametrize("home", ["", "/", "{folder}/nobody"])
def test_without_a_home_a_command_says_what_to_do(folder: Path, command: str, home: str) -> None:
    """A home that is empty or not there costs one line, unless the data folder is named."""
    said = line(
        fovea(
            *command.format(folder=folder).split(), HOME=home.format(folder=folder), XDG_DATA_HOME="", FOVEA_DATA=None
        )
    )

    assert "there is no home folder to keep data in (is HOME set?): say where with --data DIR" in said


@pytest.mark.parametrize(
    ("name", "complaint"),
    [
        ("file", "File exists"),
        ("file/below", "Not a directory"),
        ("x" * 256, "File name too long"),
        ("/proc/fovea", "No such file or directory"),
        ("/".join(["x" * 100] * 2), "bytes too long for the embedded Redis's socket"),
        ("~nobody-of-this-name/data", "leads nowhere"),
    ],
)
def test_an_unusable_data_folder_is_one_line(tmp_path: Path, name: str, complaint: str) -> None:
    """It names the folder, what is wrong with it, and what to do."""
    (tmp_path / "file").write_text("")
    data = name if name.startswith("~") else tmp_path / name

    said = line(fovea("up", "--data", data, "--port", 0))

    assert complaint in said
    assert "--data" in said or "full path" in said


@pytest.mark.parametrize("command", ["up --data", "up --root", "up --models", "ingest -c photos"])
def test_an_empty_path_is_refused(command: str) -> None:
    """A variable of the shell that is not set does not name the current folder."""
    result = fovea(*command.split(), "")

    assert result.exit_code == 2
    assert "the path is empty" in result.output


@pytest.mark.parametrize(
    "words",
    ["x" * 256, "x" * 5000, "~", "~nobody-of-this-name", "~ 30 degrees", "a\nb", "söme wörds", "/", "a/b/c", "." * 300],
)
def test_any_words_can_be_encoded(tmp_path: Path, words: str) -> None:
    """Words that cannot be a file's name are words; whether the encoder is there is asked next."""
    said = line(fovea("encode", words, "--encoder", "general", "-o", tmp_path / "out.npy", "--data", tmp_path / "none"))

    assert "does not run" in said or "cannot be read: Is a directory" in said


@pytest.mark.parametrize("name", ["missing.jpg", "x" * 300 + ".jpg", "~nobody-of-this-name/cat.png"])
def test_what_is_called_like_an_image_is_not_taken_for_words(tmp_path: Path, name: str) -> None:
    """A misspelled file is said, not embedded."""
    said = line(fovea("encode", name, "--encoder", "general", "-o", tmp_path / "out.npy", "--data", tmp_path / "none"))

    assert f"{name} cannot be read" in said


def test_version() -> None:
    """`fovea --version` answers with the installed version."""
    assert re.fullmatch(r"fovea \d+\.\d+\.\d+\S*\n", fovea("--version").stdout)


INTERRUPTED_IMPORT = """
import os, signal, sys

module = sys.argv[1]

class Interruption:
    def find_spec(self, name, path=None, target=None):
        if name == module:
            os.kill(os.getpid(), signal.SIGINT)

sys.meta_path.insert(0, Interruption())
from cli.__main__ import main
sys.argv[1:] = ["collections", "list"]
main()
"""


@pytest.mark.parametrize("module", ["cli.main", "typer", "grpc", "cli.commands.collections", "cli.connections"])
def test_an_interrupted_import_is_quiet(module: str) -> None:
    """Ctrl-C before the command runs ends it by the signal, without a traceback."""
    done = subprocess.run(
        [sys.executable, "-c", INTERRUPTED_IMPORT, module], capture_output=True, text=True, check=False
    )

    assert (done.returncode, done.stderr) == (-signal.SIGINT, "")


def test_an_interrupted_call_is_quiet() -> None:
    """Ctrl-C while a service is asked ends the command without a traceback."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"127.0.0.1:{silent.getsockname()[1]}"
        command = [FOVEA, "collections", "list", "--ingest", address]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as asking:
            silent.settimeout(60)
            connection, _ = silent.accept()
            asking.send_signal(signal.SIGINT)
            _, said = asking.communicate(timeout=30)
            connection.close()

    assert asking.returncode != 0
    assert "Traceback" not in said
    assert "KeyboardInterrupt" not in said


words = st.integers(1, 60).map("x".__mul__)
tables = st.lists(
    st.dictionaries(st.sampled_from(["name", "kind", "image_count", "detector"]), words, min_size=1), min_size=1
)


def shown(monkeypatch: pytest.MonkeyPatch, rows: list[dict[str, str]], *, wide: bool | None = None) -> list[str]:
    """The lines of a table on a terminal of 80 columns."""
    out = io.StringIO()
    monkeypatch.setattr(
        "cli.output.console", lambda *, stderr=False: Console(file=io.StringIO() if stderr else out, width=80)
    )
    if wide is None:
        show(rows)
    else:
        show_fitting(rows, wide=wide, as_json=False, empty="")
    return out.getvalue().splitlines()


@given(rows=tables)
def test_values_stand_under_their_headings(rows: list[dict[str, str]]) -> None:
    """Also where rows differ in what they have."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        heading, *lines = shown(monkeypatch, rows, wide=True)

    assert len(lines) == len(rows)
    names = list(dict.fromkeys(name for row in rows for name in row))
    starts = [heading.index(name.replace("_", " ")) for name in names]
    for row, printed in zip(rows, lines, strict=True):
        ends = [*starts[1:], len(printed)]
        cells = [printed[start:end].strip() for start, end in zip(starts, ends, strict=True)]
        assert cells == [row.get(name, "") for name in names]


@given(rows=tables)
def test_a_table_fits_and_breaks_no_word(rows: list[dict[str, str]]) -> None:
    """On 80 columns what does not fit is left out from the right; a row stays one line."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        heading, *lines = shown(monkeypatch, rows, wide=False)

    assert len(lines) == len(rows)
    assert max(map(len, [heading, *lines])) <= 80
    assert any(heading.startswith(name.replace("_", " ")) for name in rows[0])


@pytest.mark.parametrize("command", [("models", "list"), ("models", "list", "--json"), ("up", "--help")])
def test_a_reader_that_has_enough_costs_no_line(command: tuple[str, ...]) -> None:
    """`fovea … | head` says nothing when `head` has gone."""
    reader, writer = os.pipe()
    os.close(reader)
    try:
        done = subprocess.run([FOVEA, *command], stdout=writer, stderr=subprocess.PIPE, text=True, check=False)
    finally:
        os.close(writer)

    assert done.stderr == ""
