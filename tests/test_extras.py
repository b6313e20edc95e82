"""The extras of pyproject.toml: each process finds all that it imports in its own."""

import tomllib
from importlib.metadata import packages_distributions, requires
from pathlib import Path

import grimp
import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).parents[1]
OURS = ("cli", "domain", "encoders", "fovea", "gateway", "rpc", "services", "sources")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


@pytest.fixture(scope="module")
def imports() -> grimp.ImportGraph:
    """What each module imports, also inside its functions."""
    return grimp.build_graph(*OURS, include_external_packages=True, exclude_type_checking_imports=True)


@pytest.mark.parametrize(
    ("module", "extras"),
    [
        ("services.encoder.__main__", {"encoder", "cpu"}),
        ("services.search.__main__", {"search"}),
        ("services.ingest.__main__", {"ingest"}),
        ("gateway.__main__", {"gateway"}),
        # The command imports them when they are called.
        ("cli.commands", {"local", "cpu"}),
    ],
)
def test_process_finds_what_it_imports(imports: grimp.ImportGraph, module: str, extras: set[str]) -> None:
    """An image with one process has the packages of its extra, and those of traces where it sends some, and no others."""
    modules = {module, *imports.find_descendants(module)}
    upstream = set[str]().union(*(imports.find_upstream_modules(each) for each in modules))
    names = {name for name in upstream if imports.is_module_squashed(name)}
    distributions = packages_distributions()
    imported = {_plain(distributions[name][0]) for name in names if name in distributions}

    assert "numpy" in imported
    assert imported <= _installed_by(extras | {"tracing"})


def _installed_by(extras: set[str]) -> set[str]:
    """The distributions that Fovea with these extras brings, with their own dependencies."""
    lines = [*PROJECT["dependencies"], *(line for each in extras for line in PROJECT["optional-dependencies"][each])]
    waiting = [Requirement(line) for line in lines]
    installed: set[str] = set()
    while waiting:
        requirement = waiting.pop()
        name = _plain(requirement.name)
        if name == PROJECT["name"]:
            waiting += [Requirement(line) for e in requirement.extras for line in PROJECT["optional-dependencies"][e]]
        elif name not in installed:
            installed.add(name)
            options = [Requirement(line) for line in requires(name) or ()]
            environments = [{"extra": extra} for extra in (*requirement.extras, "")]
            waiting += [each for each in options if not each.marker or any(map(each.marker.evaluate, environments))]
    return installed


def _plain(name: str) -> str:
    return name.lower().replace("_", "-")
