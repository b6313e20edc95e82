import pytest
from pydantic import ValidationError
from pydantic_settings import BaseSettings

from gateway.settings import GatewaySettings
from services.encoder.settings import EncoderSettings
from services.ingest.settings import IngestSettings
from services.search.settings import SearchSettings

PROCESSES = (EncoderSettings, SearchSettings, IngestSettings, GatewaySettings)
PORTS = [(process, field) for process in PROCESSES for field in process.model_fields if field.endswith("port")]


@pytest.fixture(autouse=True)
def encoder_has_bundles(monkeypatch: pytest.MonkeyPatch) -> None:
    """The one setting without a default."""
    monkeypatch.setenv("FOVEA_ENCODER_BUNDLES", '["models/general"]')


@pytest.mark.parametrize(("process", "field"), PORTS)
@pytest.mark.parametrize("link", ["tcp://10.0.0.1:80", "udp://[fd00::1]:53", "sctp://10.0.0.1:9"])
def test_service_links_are_no_settings(
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
