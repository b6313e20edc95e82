"""Bundles that an init container fetches: nothing is unpacked that is not what its SHA-256 says."""

import hashlib
import io
import urllib.request
import zipfile
from pathlib import Path

import pytest

from services.encoder import fetch

URL = "https://models.example/tiny.zip"


def archive(**files: str) -> bytes:
    """A zip file."""
    written = io.BytesIO()
    with zipfile.ZipFile(written, "w") as zipped:
        for name, text in files.items():
            zipped.writestr(name, text)
    return written.getvalue()


def answer(monkeypatch: pytest.MonkeyPatch, content: bytes) -> None:
    """Lets every address answer this."""
    monkeypatch.setattr(urllib.request, "urlopen", lambda *_, **__: io.BytesIO(content))


def address(content: bytes) -> str:
    """Where it is, with its SHA-256."""
    return f"{URL}#sha256={hashlib.sha256(content).hexdigest()}"


def test_right_archive_is_unpacked(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The bundle is a folder below the given one, and nothing else stays there."""
    content = archive(**{"tiny/bundle.json": "{}"})
    answer(monkeypatch, content)

    assert fetch.main([str(tmp_path), address(content)]) == 0
    assert [path.name for path in tmp_path.iterdir()] == ["tiny"]
    assert (tmp_path / "tiny" / "bundle.json").read_text() == "{}"


@pytest.mark.parametrize(
    ("given", "complaint"),
    [
        (f"{URL}#sha256={'0' * 64}", "not used"),
        (URL, "#sha256="),
        ("http://models.example/tiny.zip#sha256=" + "0" * 64, "https://"),
        ("file:///etc/passwd#sha256=" + "0" * 64, "https://"),
        (address(b"no archive"), "not a zip file"),
    ],
)
def test_anything_else_is_refused_in_a_line(
    given: str, complaint: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The line says what was wrong, and nothing is written."""
    answer(monkeypatch, b"no archive")

    assert fetch.main([str(tmp_path), given]) == 1
    assert complaint in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_names_stay_in_the_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """An archive cannot write beside it."""
    content = archive(**{"../outside": "", "/absolute": ""})
    answer(monkeypatch, content)
    folder = tmp_path / "bundles"
    folder.mkdir()

    assert fetch.main([str(folder), address(content)]) == 0
    assert [path.name for path in tmp_path.iterdir()] == ["bundles"]


def test_too_much_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Neither the archive nor what is in it may be larger than the limit."""
    content = archive(large="x" * 2000)
    answer(monkeypatch, content)
    for limit in (100, 1000):
        monkeypatch.setattr(fetch, "MAX_BYTES", limit)
        with pytest.raises(fetch.FetchError, match="GiB"):
            fetch.fetch(tmp_path, address(content))
