import re
from typing import Any

import pytest
from pydantic_settings import BaseSettings

from rpc.environment import read_settings
from scripts.settings_tables import PROCESSES

LISTS = [
    (kind, f"{kind.model_config['env_prefix']}{name}".upper())
    for kind in PROCESSES
    for name, field in kind.model_fields.items()
    if "tuple" in str(field.annotation)
]


@pytest.mark.parametrize(("kind", "variable"), LISTS, ids=lambda value: value if isinstance(value, str) else "")
@pytest.mark.parametrize("written", ["a:1,b:2", "a:1, b:2", "", "[a:1"])
def test_a_list_that_is_not_json_is_one_line(
    monkeypatch: pytest.MonkeyPatch, kind: type[BaseSettings], variable: str, written: str
) -> None:
    """The line names the variable and says what to write, for every list of every process; written so, it is read."""
    monkeypatch.setenv("FOVEA_ENCODER_BUNDLES", '["/bundle"]')
    monkeypatch.setenv(variable, written)

    with pytest.raises(SystemExit) as ended:
        read_settings(kind)

    line = str(ended.value)
    assert line.startswith(f"{variable} is not a JSON list: write {variable}='[")
    assert "\n" not in line
    if written and "BUNDLES" in variable:
        monkeypatch.setenv(variable, line.partition("'")[2].rstrip("'"))
        assert read_settings(kind)


def numbers() -> list[tuple[type[BaseSettings], str]]:
    """Every whole number that a process can be told."""
    return [(kind, name) for kind in PROCESSES for name, field in kind.model_fields.items() if field.annotation is int]


@pytest.mark.parametrize(("kind", "name"), numbers())
def test_a_wrong_value_is_one_line(monkeypatch: pytest.MonkeyPatch, kind: Any, name: str) -> None:
    """It names the variable and what it means, and keeps the value, which may be a secret, to itself."""
    variable = f"{kind.model_config['env_prefix']}{name}".upper()
    monkeypatch.setenv("FOVEA_ENCODER_BUNDLES", '["/bundle"]')
    monkeypatch.setenv(variable, "secret")

    with pytest.raises(SystemExit, match=re.escape(f"{variable} cannot be used: ")) as ended:
        read_settings(kind)

    assert "secret" not in str(ended.value)
    assert str(kind.model_fields[name].description) in str(ended.value)


def test_what_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """A required setting that is not there costs one line as well."""
    monkeypatch.delenv("FOVEA_ENCODER_BUNDLES", raising=False)

    with pytest.raises(SystemExit, match=r"FOVEA_ENCODER_BUNDLES cannot be used: Field required\. Folders of"):
        read_settings(PROCESSES[0])
