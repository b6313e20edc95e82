import re
from typing import Any

import pytest
from pydantic import ValidationError
from pydantic_settings import BaseSettings

from gateway.settings import GatewaySettings
from rpc.environment import read_settings
from scripts.settings_tables import PROCESSES

LISTS = [
    (kind, f"{kind.model_config['env_prefix']}{name}".upper())
    for kind in PROCESSES
    for name, field in kind.model_fields.items()
    if "tuple" in str(field.annotation)
]
PORTS = [(kind, field) for kind in PROCESSES for field in kind.model_fields if field.endswith("port")]


@pytest.fixture(autouse=True)
def encoder_has_bundles(monkeypatch: pytest.MonkeyPatch) -> None:
    """The one setting without a default."""
    monkeypatch.setenv("FOVEA_ENCODER_BUNDLES", '["/bundle"]')


@pytest.mark.parametrize(("kind", "variable"), LISTS, ids=lambda value: value if isinstance(value, str) else "")
@pytest.mark.parametrize("written", ["a:1,b:2", "a:1, b:2", "", "[a:1"])
def test_a_list_that_is_not_json_is_one_line(
    monkeypatch: pytest.MonkeyPatch, kind: type[BaseSettings], variable: str, written: str
) -> None:
    """The line names the variable and says what to write, for every list of every process; written so, it is read."""
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
    """Every setting that is a whole number."""
    return [(kind, name) for kind in PROCESSES for name, field in kind.model_fields.items() if field.annotation is int]


@pytest.mark.parametrize(("kind", "name"), numbers())
def test_a_wrong_value_is_one_line(monkeypatch: pytest.MonkeyPatch, kind: Any, name: str) -> None:
    """It names the variable and what it means, and keeps the value, which may be a secret, to itself."""
    variable = f"{kind.model_config['env_prefix']}{name}".upper()
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


@pytest.mark.parametrize(("process", "field"), PORTS)
@pytest.mark.parametrize("link", ["tcp://10.0.0.1:80", "udp://[fd00::1]:53", "sctp://10.0.0.1:9"])
def test_service_links_are_not_settings(
    monkeypatch: pytest.MonkeyPatch, process: type[BaseSettings], field: str, link: str
) -> None:
    """What Kubernetes sets for a Service named like one of our prefixes counts as absent, and what people set counts."""
    variable = f"{process.model_config['env_prefix']}{field}".upper()
    monkeypatch.setenv(variable, link)
    assert getattr(process(), field) == process.model_fields[field].default

    monkeypatch.setenv(variable, "9000")
    assert getattr(process(), field) == 9000


@pytest.mark.parametrize("value", ["tcp", "http://10.0.0.1:80", "80tcp://"])
def test_nonsense_is_still_refused(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    """Only service links are passed over."""
    monkeypatch.setenv("FOVEA_GATEWAY_PORT", value)
    with pytest.raises(ValidationError):
        GatewaySettings()
