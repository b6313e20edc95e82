"""Metadata files are read as people write them, and every line without effect is reported."""

import json
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.json_format import MessageToDict
from hypothesis import example, given
from hypothesis import strategies as st

from cli.errors import CommandFailed
from cli.metadata_file import MetadataFile, read_metadata_file
from rpc.metadata import composed


def _read(folder: Path, content: str | bytes) -> MetadataFile:
    path = folder / "about.jsonl"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return read_metadata_file(path)


def _line(file: str, **metadata: Any) -> str:
    return json.dumps({"file": file, "metadata": metadata}, ensure_ascii=False)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for one file after the other."""
    return tmp_path_factory.mktemp("metadata")


@given(
    texts=st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=8), min_size=1, max_size=4),
    mark=st.sampled_from(["", "\ufeff"]),
    end=st.sampled_from(["\n", "\r\n", "\n\n", "\n \r\n"]),
)
@example(texts=["\U0001d15e"], mark="", end="\n")  # NFC takes it apart
@example(texts=["a\u2028b\u2029c\x85d"], mark="\ufeff", end="\r\n")
def test_whatever_text_stands_in_a_line_is_read(folder: Path, texts: list[str], mark: str, end: str) -> None:
    """Only a line feed ends a line, so every separator of Unicode is text; a byte order mark and blank lines are none."""
    lines = [_line(f"{number}.jpg", text=text) for number, text in enumerate(texts)]

    described = _read(folder, mark + end.join(lines) + end)

    assert [MessageToDict(described.by_path[str(folder / f"{n}.jpg")])["text"] for n in range(len(texts))] == [
        composed(text) for text in texts
    ]


def test_names_are_relative_to_the_file(tmp_path: Path) -> None:
    """However a name is written and whatever links lead to it, it is the path that a scan gives."""
    (tmp_path / "real/sub").mkdir(parents=True)
    (tmp_path / "link").symlink_to("real")
    names = ("a.jpg", "./b.jpg", "sub/../c.jpg", str(tmp_path / "link/sub/d.jpg"))
    (tmp_path / "link/about.jsonl").write_text("\n".join(map(_line, names)))

    described = read_metadata_file(tmp_path / "link/about.jsonl")

    assert list(described.by_path) == [
        str(tmp_path / "real" / name) for name in ("a.jpg", "b.jpg", "c.jpg", "sub/d.jpg")
    ]


def test_lines_that_describe_no_image_are_reported(tmp_path: Path) -> None:
    """Another case is another name; the sentence has the line, counted with the empty ones."""
    described = _read(tmp_path, f"{_line('a.jpg')}\n\n{_line('A.JPG')}\n{_line('nowhere/none.jpg')}\n")

    sentences = described.unmatched({str(tmp_path / "a.jpg"): None})

    assert [sentence.split(": ")[0].split(", ")[-1] for sentence in sentences] == ["line 3", "line 4"]
    assert "nowhere/none.jpg is not among the images" in sentences[1]


def test_a_file_that_is_described_twice_is_reported(tmp_path: Path) -> None:
    """The later line counts."""
    described = _read(tmp_path, "\n".join([_line("a.jpg", n=1), _line("b.jpg"), _line("./a.jpg", n=2)]))

    assert described.by_path[str(tmp_path / "a.jpg")]["n"] == 2
    [warning] = described.warnings
    assert "line 3: ./a.jpg was in line 1 too" in warning


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("{", "Expecting"),
        ('{"file": "a.jpg"}', '"metadata" must be an object'),
        ('{"file": "a.jpg", "metadata": 3}', '"metadata" must be an object'),
        ('{"metadata": {}}', '"file" must be a text'),
        ('{"file": "a.jpg", "metadata": {"a": "\\ud800"}}', "surrogate"),
        ('{"file": "a.jpg", "metadata": {"id": 1746714878034235396}}', "send it as text"),
        ("3", "not a JSON object"),
        ('{"file": "a.jpg", "metadata": ' + '{"a":' * 17 + "1" + "}" * 17 + "}", "deeper than 16 levels"),
        ('{"file": "a.jpg", "metadata": ' + '{"a":' * 100_000 + "1" + "}" * 100_000 + "}", "deeper than 16 levels"),
        ('{"file": "a.jpg", "metadata": {"a": ' + "[" * 2000 + "]" * 2000 + "}}", "deeper than 16 levels"),
        ('{"file": "\\ud800.jpg", "metadata": {}}', "surrogates"),
    ],
    ids=range(11),
)
def test_a_bad_line_is_named_with_the_reason(tmp_path: Path, line: str, why: str) -> None:
    """A mistake is one sentence with the line that an editor shows."""
    with pytest.raises(CommandFailed, match=r"line 4( is not|: metadata)") as caught:
        _read(tmp_path, f"\n{_line('b.jpg', text=chr(0x2028))}\n\n{line}\n")

    assert why in str(caught.value)


def test_sixteen_levels_are_taken(tmp_path: Path) -> None:
    """The deepest metadata that is kept anywhere."""
    line = '{"file": "a.jpg", "metadata": ' + '{"a":' * 16 + "1" + "}" * 16 + "}"

    assert len(_read(tmp_path, line).by_path) == 1


@pytest.mark.parametrize(
    ("content", "why"),
    [
        ('[{"file": "a.jpg", "metadata": {}}]', "is a JSON array: write each of its objects on a line of its own"),
        ('\n [\n  {"file": "a.jpg", "metadata": {}}\n]', "is a JSON array"),
        (b'{"file": "a.jpg", "metadata": {}}\n{"file": "\xe9.jpg"}', "line 2 is not UTF-8"),
    ],
)
def test_a_file_that_is_not_json_lines_says_what_to_do(tmp_path: Path, content: str | bytes, why: str) -> None:
    """One sentence for the whole file."""
    with pytest.raises(CommandFailed) as caught:
        _read(tmp_path, content)

    assert why in str(caught.value)
