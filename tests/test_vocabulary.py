"""One word for one idea: retired words stay away, no class name stands twice, and no file grows past 300 lines."""

import ast
import re
import subprocess
import tokenize
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PRODUCT = ("domain", "rpc", "encoders", "sources", "services", "gateway", "cli")
MAX_LINES = 300

# A retired word and the word that took its place; CONTRIBUTING.md's glossary says what each means.
RETIRED_NAMES = {
    "picture": "image",
    "pictures": "image",
    "vector": "embedding",
    "vectors": "embedding",
    "bury": "tombstone",
    "dead": "tombstone",
    "told": "options",
    "wanted": "options",
    "patience": "backoff",
    "pauses": "backoff",
    "leash": "parent watch",
    "place": "position",
    "places": "positions",
    "shares": "normalized coordinates",
    "takes": "inputs",
    "gives": "outputs",
}
# Names that others chose: the contract's, and those of libraries.
KEPT_NAMES = {
    "UNSUPPORTED_PICTURE",
    "vector_search_ms",
    "FLOAT_VECTOR",
    "JPEG_PICTURE",
    "max_picture_mib",
    "vector_norm",
}
# A key of config files and checkpoints of training.
KEPT_TEXTS = {'"pictures"', '"Pictures"'}
RETIRED_PROSE = {
    r"(?<!there )(?<!There )\b(is|are|was) no (?!longer\b|more\b|fewer\b|less\b)\w+": "is not a …",
    r"\btold\b": "say who passes what to whom",
    r"\bbur(y|ied|ies)\b": "tombstone",
    r"\bdead rows?\b": "tombstone",
    r"\bpatien(t|ce|tly)\b": "backoff, or until a deadline",
    r"\b(in|as) shares\b|\bshares of the\b": "normalized coordinates",
    r"\btakes and gives\b": "inputs and outputs",
    r"\bnobody's business\b": "plain words",
}
RETIRED_PROSE_IN_CODE = {r"(?<!_)\b[Pp]ictures?\b(?!_)": "image"}


def _files(*patterns: str) -> list[Path]:
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", *patterns]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
    files = [ROOT / name for name in listed if "_pb2" not in name]
    return [file for file in files if file.exists() and file != Path(__file__)]


def _tokens(file: Path, *kinds: int) -> Iterator[tuple[int, str]]:
    with file.open() as source:
        for token in tokenize.generate_tokens(source.readline):
            if token.type in kinds:
                yield token.start[0], token.string


def _words(name: str) -> list[str]:
    return [word.lower() for word in re.findall(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])", name)]


def _where(file: Path, line: int) -> str:
    return f"{file.relative_to(ROOT)}:{line}"


def test_no_identifier_has_a_retired_word() -> None:
    """Names in the code use the words of the glossary."""
    found = [
        f"{_where(file, line)}: {name} ({RETIRED_NAMES[word]})"
        for file in _files("*.py")
        for line, name in _tokens(file, tokenize.NAME)
        if name not in KEPT_NAMES
        for word in _words(name)
        if word in RETIRED_NAMES
    ]

    assert not found, f"{len(found)} retired words\n" + "\n".join(found)


def test_no_text_has_a_retired_word() -> None:
    """Docstrings, messages, comments and pages are plain, and use the words of the glossary."""
    texts = [
        (_where(file, line), text, {**RETIRED_PROSE, **RETIRED_PROSE_IN_CODE})
        for file in _files("*.py")
        for line, text in _tokens(file, tokenize.STRING, tokenize.COMMENT, getattr(tokenize, "FSTRING_MIDDLE", -1))
        if text not in KEPT_TEXTS
    ]
    texts += [
        (
            _where(file, number),
            re.sub(r"`[^`]*`", "``", line) if file.suffix == ".md" else line,  # what a page quotes is not its own word
            RETIRED_PROSE if file.suffix == ".md" else {**RETIRED_PROSE, **RETIRED_PROSE_IN_CODE},
        )
        for file in _files("*.md", "protos/*.proto")
        for number, line in enumerate(file.read_text().splitlines(), start=1)
    ]
    found = [
        f"{where}: {match.group()!r} ({instead})"
        for where, text, retired in texts
        for pattern, instead in retired.items()
        for match in re.finditer(pattern, text)
    ]

    assert not found, f"{len(found)} retired words\n" + "\n".join(found)


def test_contributing_lists_the_retired_words() -> None:
    """Whoever gets a finding reads in CONTRIBUTING.md what to write instead."""
    page = (ROOT / "CONTRIBUTING.md").read_text()
    listed = page.partition("| retired | write |")[2]

    assert [word for word in RETIRED_NAMES if f"`{word}`" not in listed] == []


def test_no_class_name_stands_twice() -> None:
    """A reader who meets a class knows which one it is."""
    homes: defaultdict[str, list[str]] = defaultdict(list)
    for file in _files(*(f"{package}/*.py" for package in PRODUCT)):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.ClassDef):
                homes[node.name].append(_where(file, node.lineno))
    twice = {name: files for name, files in homes.items() if len(files) > 1}

    assert not twice


@pytest.mark.parametrize("package", [*PRODUCT, "protos/fovea/client"])
def test_no_file_is_long(package: str) -> None:
    """A file holds one concept, and is read in one go."""
    lines = {_where(file, 1): len(file.read_text().splitlines()) for file in _files(f"{package}/*.py")}

    assert {where: count for where, count in lines.items() if count > MAX_LINES} == {}
