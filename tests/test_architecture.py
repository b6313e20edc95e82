"""The page about the architecture names files and functions that exist."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs/architecture.md").read_text()
PATHS = sorted(set(re.findall(r"`([a-z_]+/[a-z_/]+(?:\.py|/))`", PAGE)))
WAYS = PAGE.partition("## Four ways through the house")[2].partition("\n## ")[0]
# A function follows the file that holds it: `path` `Class.method`.
FUNCTIONS = re.findall(r"`([a-z_/]+\.py)`\s+`([A-Za-z_.]+)`", WAYS)


@pytest.mark.parametrize("path", PATHS)
def test_every_file_on_the_page_exists(path: str) -> None:
    """A reader who follows the page finds each file where it says."""
    assert (ROOT / path).exists()


@pytest.mark.parametrize(("path", "name"), FUNCTIONS)
def test_every_function_of_a_way_exists(path: str, name: str) -> None:
    """A step's function or class stands in the file that the step names."""
    body = ast.parse((ROOT / path).read_text()).body
    for part in name.split("."):
        found = [node for node in body if getattr(node, "name", None) == part]
        assert found, f"{path} has no {name}"
        node = found[0]
        assert isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
        body = node.body


def test_the_page_has_four_ways() -> None:
    """An encode, a search, an ingest item and a training run, each with its steps."""
    assert WAYS.count("\n### ") == 4
    assert len(FUNCTIONS) > 25
