import json
import unicodedata
from pathlib import Path

import pytest

from training.datasets.report import FaultKind, RecordError
from training.datasets.root import DatasetRoot


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("gone.jpg", FaultKind.MISSING_FILE),
        ("folder", FaultKind.BROKEN_FILE),
        ("empty.jpg", FaultKind.BROKEN_FILE),
        ("a.jpg/b.jpg", FaultKind.BROKEN_FILE),
        ("x" * 300, FaultKind.BROKEN_FILE),
        ("loop.jpg", FaultKind.BROKEN_FILE),
        ("out.jpg", FaultKind.OUTSIDE_ROOT),
        ("../secret.jpg", FaultKind.OUTSIDE_ROOT),
        ("folder/../a.jpg", FaultKind.OUTSIDE_ROOT),
        ("/etc/hostname", FaultKind.OUTSIDE_ROOT),
        ("\\\\server\\a.jpg", FaultKind.OUTSIDE_ROOT),
        ("", FaultKind.BAD_RECORD),
        ("a\0.jpg", FaultKind.BAD_RECORD),
        ("\ud800.jpg", FaultKind.BAD_RECORD),
        (7, FaultKind.BAD_RECORD),
    ],
)
def test_every_name_ends_inside_or_in_a_fault(tmp_path: Path, name: object, kind: FaultKind) -> None:
    """Names come from files that strangers wrote."""
    folder = tmp_path / "set"
    (folder / "folder").mkdir(parents=True)
    (folder / "a.jpg").write_bytes(b"a")
    (folder / "empty.jpg").touch()
    (folder / "loop.jpg").symlink_to("loop.jpg")
    (tmp_path / "secret.jpg").write_bytes(b"secret")
    (folder / "out.jpg").symlink_to(tmp_path / "secret.jpg")

    with pytest.raises(RecordError) as raised:
        DatasetRoot.at(folder).file(name)
    assert raised.value.kind is kind


def test_accents_are_found_as_other_systems_compose_them(tmp_path: Path) -> None:
    """An archive from one system, unpacked on another, spells them otherwise than its lists."""
    path = tmp_path / unicodedata.normalize("NFD", "Zürich.jpg")
    path.write_bytes(b"a")

    assert DatasetRoot.at(tmp_path).file(unicodedata.normalize("NFC", "Zürich.jpg")) == path.resolve()


def test_images_are_sorted_and_others_left_out(tmp_path: Path) -> None:
    """Hidden files are the litter of archives."""
    for name in ("b/2.PNG", "a/10.jpg", "a/9.jpg", "a/.hidden.jpg", "a/notes.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()

    assert DatasetRoot.at(tmp_path).images("*/*") == ["a/10.jpg", "a/9.jpg", "b/2.PNG"]


def test_a_folder_that_is_not_there_says_what_to_do(tmp_path: Path) -> None:
    """There is nothing to report of it."""
    with pytest.raises(FileNotFoundError, match="unpack the dataset there"):
        DatasetRoot.at(tmp_path / "gone")


def test_json_may_begin_with_a_mark_and_breaks_with_a_position(tmp_path: Path) -> None:
    """Windows tools write the mark."""
    (tmp_path / "a.json").write_text(json.dumps({"a": 1}), encoding="utf-8-sig")
    (tmp_path / "b.json").write_text("[" * 100_000)

    assert DatasetRoot.at(tmp_path).json("a.json") == {"a": 1}
    with pytest.raises(RecordError, match=r"b.json is not JSON"):
        DatasetRoot.at(tmp_path).json("b.json")
