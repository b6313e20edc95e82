"""`fovea up` with certificates and tokens: every process, probe and command speaks TLS and says who it is."""

import json
import re
import ssl
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path

import httpx
import pytest

from tests.cli.running import Up, fovea_process
from tests.support.bundles import tiny_image_bundle
from tests.support.images import encoded, plain
from tests.support.tokens import TokenFolder, bearer

PAGE = Path(__file__).parents[2] / "docs" / "security.md"


@pytest.fixture(scope="module")
def tls(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder with the files that the page's commands make."""
    home = tmp_path_factory.mktemp("home")
    [commands] = re.findall(r"```sh\n(.*openssl.*?)```", PAGE.read_text().partition("## TLS")[2], re.DOTALL)[:1]
    subprocess.run(["bash", "-euc", commands], cwd=home, check=True, capture_output=True)
    return home / "tls"


@pytest.fixture(scope="module")
def tokens(tmp_path_factory: pytest.TempPathFactory) -> TokenFolder:
    """Who may call: a person, and the processes themselves."""
    folder = tmp_path_factory.mktemp("tokens")
    tokens = TokenFolder(folder / "tokens.json")
    (folder / "person.token").write_text(tokens.add("person", collections={"*": "admin"}, files=True))
    (folder / "services.token").write_text(tokens.add("services", encode=True))
    return tokens


@pytest.fixture(scope="module")
def environment(tls: Path, tokens: TokenFolder) -> Mapping[str, str]:
    """What the page tells people to set for the system and for the commands."""
    return {
        "FOVEA_TLS_CERTIFICATE": str(tls / "tls.crt"),
        "FOVEA_TLS_KEY": str(tls / "tls.key"),
        "FOVEA_TLS_CA": str(tls / "ca.crt"),
        "FOVEA_TLS_CLIENT_CERTIFICATES": "true",
        "FOVEA_TOKENS": str(tokens.path),
        "FOVEA_TOKEN_FILE": str(tokens.path.with_name("person.token")),
    }


@pytest.fixture(scope="module")
def up(tmp_path_factory: pytest.TempPathFactory, environment: Mapping[str, str], tokens: TokenFolder) -> Iterator[Up]:
    models = tmp_path_factory.mktemp("models")
    tiny_image_bundle(models / "tiny", is_default=True)
    own = str(tokens.path.with_name("services.token"))
    with Up(tmp_path_factory.mktemp("data"), models, environment={**environment, "FOVEA_TOKEN_FILE": own}) as running:
        yield running
        assert running.stop() == 0


def test_commands_and_the_gateway_answer_over_tls(
    up: Up, environment: Mapping[str, str], tls: Path, tmp_path: Path
) -> None:
    """An image goes in by the command and is found over HTTPS, through every process."""
    (tmp_path / "red.png").write_bytes(encoded(plain("red")))
    ingested = fovea_process(
        *("ingest", tmp_path, "-c", "colours", "--create", "--copy", "--data", up.data), environment=environment
    )
    assert ingested.returncode == 0, ingested.stderr

    url = f"{up.run['gateway']}/api/v1/collections/colours/search"
    context = ssl.create_default_context(cafile=tls / "ca.crt")
    image, token = {"image": encoded(plain("red"))}, Path(environment["FOVEA_TOKEN_FILE"]).read_text()
    assert httpx.post(url, files=image, verify=context).status_code == 401
    found = httpx.post(url, files=image, verify=context, headers=dict(bearer(token))).raise_for_status().json()

    assert up.run["gateway"].startswith("https://127.0.0.1:")
    assert Path(found["hits"][0]["uri"]).name == "red.png"


def test_a_command_without_the_authority_is_refused(up: Up, environment: Mapping[str, str]) -> None:
    """In one line, like any service that cannot be reached; so is one without a token."""
    done = fovea_process("collections", "list", "--data", up.data)
    unknown = fovea_process(
        "collections", "list", "--data", up.data, environment={**environment, "FOVEA_TOKEN_FILE": ""}
    )

    assert (done.returncode, unknown.returncode) == (1, 1)
    assert done.stderr.strip() == "fovea: the ingest service cannot be reached"
    assert "FOVEA_TOKEN_FILE" in unknown.stderr


def test_a_system_needs_the_authority_of_its_own_certificate(tmp_path: Path, environment: Mapping[str, str]) -> None:
    """Its processes could not call each other."""
    done = fovea_process("up", "--data", tmp_path, environment={**environment, "FOVEA_TLS_CA": ""})

    assert done.returncode == 1
    assert "FOVEA_TLS_CA" in done.stderr


def test_nothing_of_the_key_is_written(up: Up, tls: Path) -> None:
    """Neither in run.json nor in a log."""
    secret = (tls / "tls.key").read_text().splitlines()[1]
    written = [json.dumps(up.run), *(log.read_text() for log in (up.data / "logs").glob("*.log"))]

    assert all(secret not in text for text in written)
