"""HTTPS: who is let in, and certificates that change."""

import socket
import ssl
import warnings
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest
import trustme

from tests.support.certificates import FAR_AWAY, LONG_AGO, CertificateFolder
from tests.support.processes import eventually, server_process


@pytest.fixture
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def files(tmp_path: Path, authority: trustme.CA, monkeypatch: pytest.MonkeyPatch) -> CertificateFolder:
    """The certificate of a gateway that is started inside the test."""
    files = CertificateFolder(tmp_path / "tls", authority)
    for name, path in (("CERTIFICATE", files.certificate), ("KEY", files.key), ("CA", files.authorities)):
        monkeypatch.setenv(f"FOVEA_TLS_{name}", str(path))
    return files


def context_of(*authorities: trustme.CA) -> ssl.SSLContext:
    """A client that knows these authorities."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    for each in authorities:
        each.configure_trust(context)
    return context


def test_https_is_served_with_a_certificate(files: CertificateFolder, authority: trustme.CA, tmp_path: Path) -> None:
    """And nothing else: plain HTTP, unknown authorities, other names and old versions are refused."""
    with server_process(tmp_path, "gateway", port=0) as gateway:
        url = f"https://{gateway.address}/healthz"
        assert httpx.get(url, verify=context_of(authority)).status_code == 200
        refused: list[Callable[[], object]] = [
            lambda: httpx.get(url.replace("https", "http")),
            lambda: httpx.get(url, verify=context_of(trustme.CA())),
            lambda: _handshake(gateway.address, context_of(authority), name="other.example"),
            lambda: _handshake(gateway.address, _old(authority)),
        ]
        for attempt in refused:
            with pytest.raises((httpx.TransportError, ssl.SSLError, ConnectionError)):
                attempt()


@pytest.mark.parametrize(
    "validity",
    [
        {"not_before": LONG_AGO, "not_after": LONG_AGO.replace(year=2021)},
        {"not_before": FAR_AWAY, "not_after": FAR_AWAY.replace(year=2091)},
    ],
)
def test_mutual_https_needs_a_certificate_of_the_caller(
    files: CertificateFolder, authority: trustme.CA, tmp_path: Path, validity: dict[str, object]
) -> None:
    """One of the authority that is valid now; another, an expired one or none is refused."""
    good, other, invalid = (context_of(authority) for _ in range(3))
    authority.issue_cert("caller.example").configure_cert(good)
    trustme.CA().issue_cert("caller.example").configure_cert(other)
    authority.issue_cert("caller.example", **validity).configure_cert(invalid)  # type: ignore[arg-type]

    with server_process(tmp_path, "gateway", port=0, https="mutual") as gateway:
        url = f"https://{gateway.address}/healthz"
        assert httpx.get(url, verify=good).status_code == 200
        for context in (other, invalid, context_of(authority)):
            with pytest.raises(httpx.TransportError):
                httpx.get(url, verify=context)


def test_callers_of_another_authority_are_let_in_once_it_is_trusted(
    files: CertificateFolder, authority: trustme.CA, tmp_path: Path
) -> None:
    """And those of the former one no longer, once it is not."""
    successor = trustme.CA()
    callers = {}
    for each in (authority, successor):
        callers[each] = context_of(authority)
        each.issue_cert("caller.example").configure_cert(callers[each])

    with server_process(tmp_path, "gateway", port=0, https="mutual") as gateway:

        def is_let_in(caller: trustme.CA) -> bool:
            try:
                return httpx.get(f"https://{gateway.address}/healthz", verify=callers[caller]).status_code == 200
            except httpx.TransportError:
                return False

        assert (is_let_in(authority), is_let_in(successor)) == (True, False)
        files.trust(authority, successor)
        eventually(lambda: is_let_in(successor))
        assert is_let_in(authority)
        files.trust(successor)
        eventually(lambda: not is_let_in(authority))
        assert is_let_in(successor)


def test_behind_a_proxy_it_may_be_switched_off(files: CertificateFolder, tmp_path: Path) -> None:
    """The certificate is then for calls to other processes alone."""
    with server_process(tmp_path, "gateway", port=0, https="off") as gateway:
        assert httpx.get(f"http://{gateway.address}/healthz").status_code == 200


def test_the_certificate_changes_without_a_failed_request(
    files: CertificateFolder, authority: trustme.CA, tmp_path: Path
) -> None:
    """New connections get the new one, and those that are open go on."""
    successor = trustme.CA()
    both = context_of(authority, successor)

    with (
        server_process(tmp_path, "gateway", port=0) as gateway,
        httpx.Client(verify=both, base_url=f"https://{gateway.address}") as kept,
    ):
        assert kept.get("/healthz").status_code == 200
        files.sign(successor)

        def is_new() -> bool:
            assert kept.get("/healthz").status_code == 200
            assert httpx.get(f"https://{gateway.address}/healthz", verify=both).status_code == 200
            return files.certificate.read_text().startswith(_shown(gateway.address).strip())

        eventually(is_new)


def _shown(address: str) -> str:
    host, _, port = address.rpartition(":")
    return ssl.get_server_certificate((host, int(port)))


def _handshake(address: str, context: ssl.SSLContext, name: str = "localhost") -> None:
    host, _, port = address.rpartition(":")
    with socket.create_connection((host, int(port))) as plain, context.wrap_socket(plain, server_hostname=name):
        pass


def _old(authority: trustme.CA) -> ssl.SSLContext:
    context = context_of(authority)
    context.set_ciphers("DEFAULT:@SECLEVEL=0")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_1
    return context
