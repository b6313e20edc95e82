"""TLS between processes: who is let in, who is not, and certificates that change under load."""

import asyncio
import logging
import re
import socket
import ssl
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import grpc
import pytest
import trustme
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from grpc_health.v1 import health_pb2, health_pb2_grpc

from fovea.encoder.v1 import encoder_pb2, encoder_pb2_grpc
from rpc.channel import open_channel
from rpc.directory import EncoderDirectory
from rpc.errors import Unavailable
from rpc.security.process import PLAIN, Security
from rpc.security.watched_files import UnusableFile
from testbed.servers import free_port
from tests.rpc.conftest import until
from tests.rpc.security.conftest import Serve, encode
from tests.support.certificates import FAR_AWAY, LONG_AGO, CertificateFolder

_EXPIRED: dict[str, Any] = {"not_before": LONG_AGO, "not_after": LONG_AGO.replace(year=2021)}
_FUTURE: dict[str, Any] = {"not_before": FAR_AWAY, "not_after": FAR_AWAY.replace(year=2091)}


@pytest.mark.parametrize("mutual", [False, True])
@pytest.mark.parametrize("host", ["localhost", "ipv4:127.0.0.1", "dns:///localhost"])
async def test_a_process_with_a_certificate_is_reached(
    serve: Serve, authority: trustme.CA, tmp_path: Path, host: str, *, mutual: bool
) -> None:
    """By its name or by its address, with the caller's certificate where that is asked for."""
    both = CertificateFolder(tmp_path, authority).security(tls_client_certificates=mutual)

    async with serve(both) as port:
        assert await encode(f"{host}:{port}", both) == "tiny"


async def test_a_caller_needs_no_certificate_unless_asked(serve: Serve, authority: trustme.CA, tmp_path: Path) -> None:
    """The authority is enough to call."""
    files = CertificateFolder(tmp_path, authority)

    async with serve(files.security()) as port:
        caller = files.security(tls_certificate=None, tls_key=None)
        assert await encode(f"localhost:{port}", caller) == "tiny"


async def test_replicas_behind_a_name_show_a_certificate_of_that_name(
    serve: Serve, authority: trustme.CA, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A directory calls each address behind a name, and checks the name."""
    files = CertificateFolder(tmp_path, authority)
    files.sign(authority, "encoder.example")
    security = files.security()
    _name_loopback("encoder.example", monkeypatch)

    async with serve(security) as port:
        directory = EncoderDirectory([f"dns:///encoder.example:{port}"], security)
        await directory.start()
        [replica] = directory.targets.replicas
        await directory.close()

    assert replica.target == f"ipv4:127.0.0.1:{port}"
    assert replica.answers


def _server(folder: Path, authority: trustme.CA, **validity: Any) -> Callable[[], Security]:
    return CertificateFolder(folder / "server", authority, **validity).security


def _unknown(folder: Path, _: trustme.CA) -> tuple[Security, Security]:
    """A server with a certificate of an authority that the caller does not know."""
    known, other = trustme.CA(), trustme.CA()
    return _server(folder, other)(), CertificateFolder(folder / "caller", known).security()


def _expired(folder: Path, authority: trustme.CA) -> tuple[Security, Security]:
    return _server(folder, authority, **_EXPIRED)(), CertificateFolder(folder / "caller", authority).security()


def _too_early(folder: Path, authority: trustme.CA) -> tuple[Security, Security]:
    return _server(folder, authority, **_FUTURE)(), CertificateFolder(folder / "caller", authority).security()


def _other_name(folder: Path, authority: trustme.CA) -> tuple[Security, Security]:
    files = CertificateFolder(folder / "server", authority)
    files.sign(authority, "other.example")
    return files.security(), CertificateFolder(folder / "caller", authority).security()


def _caller_in_the_clear(folder: Path, authority: trustme.CA) -> tuple[Security, Security]:
    return _server(folder, authority)(), PLAIN


def _server_in_the_clear(folder: Path, authority: trustme.CA) -> tuple[Security, Security]:
    return PLAIN, CertificateFolder(folder / "caller", authority).security()


def _mutual(folder: Path, authority: trustme.CA) -> Security:
    return CertificateFolder(folder / "server", authority).security(tls_client_certificates=True)


def _no_certificate(folder: Path, authority: trustme.CA) -> tuple[Security, Security]:
    caller = CertificateFolder(folder / "caller", authority).security(tls_certificate=None, tls_key=None)
    return _mutual(folder, authority), caller


def _certificate_of_another_authority(folder: Path, authority: trustme.CA) -> tuple[Security, Security]:
    caller = CertificateFolder(folder / "caller", authority, trustme.CA())
    return _mutual(folder, authority), caller.security()


def _expired_certificate(folder: Path, authority: trustme.CA) -> tuple[Security, Security]:
    return _mutual(folder, authority), CertificateFolder(folder / "caller", authority, **_EXPIRED).security()


def _certificate_of_the_future(folder: Path, authority: trustme.CA) -> tuple[Security, Security]:
    return _mutual(folder, authority), CertificateFolder(folder / "caller", authority, **_FUTURE).security()


def _clear_caller_of_mutual(folder: Path, authority: trustme.CA) -> tuple[Security, Security]:
    return _mutual(folder, authority), PLAIN


@pytest.mark.parametrize(
    "ends",
    [
        _unknown,
        _expired,
        _too_early,
        _other_name,
        _caller_in_the_clear,
        _server_in_the_clear,
        _no_certificate,
        _certificate_of_another_authority,
        _expired_certificate,
        _certificate_of_the_future,
        _clear_caller_of_mutual,
    ],
)
async def test_no_call_goes_through(
    serve: Serve,
    authority: trustme.CA,
    tmp_path: Path,
    ends: Callable[[Path, trustme.CA], tuple[Security, Security]],
) -> None:
    """What cannot be trusted is not spoken to, in either direction; the caller reads UNAVAILABLE."""
    server, caller = ends(tmp_path, authority)

    async with serve(server) as port:
        with pytest.raises(Unavailable, match="the encoder service cannot be reached"):
            await encode(f"localhost:{port}", caller)


@pytest.mark.parametrize(
    ("version", "is_spoken"),
    [(ssl.TLSVersion.TLSv1_1, False), (ssl.TLSVersion.TLSv1_2, True), (ssl.TLSVersion.TLSv1_3, True)],
)
async def test_old_versions_of_tls_are_refused(
    serve: Serve, authority: trustme.CA, tmp_path: Path, version: ssl.TLSVersion, *, is_spoken: bool
) -> None:
    """1.2 is the oldest that a port speaks."""
    async with serve(CertificateFolder(tmp_path, authority).security()) as port:
        assert await asyncio.to_thread(_speaks, port, version) is is_spoken


async def test_health_has_a_port_in_the_clear(authority: trustme.CA, tmp_path: Path, serve: Serve) -> None:
    """Kubernetes' probes have no certificate; nothing else is served there."""
    health_port = free_port()

    async with (
        serve(CertificateFolder(tmp_path, authority).security(), health_port=health_port),
        grpc.aio.insecure_channel(f"127.0.0.1:{health_port}") as channel,
    ):
        request = health_pb2.HealthCheckRequest(service="readiness")
        answer = await health_pb2_grpc.HealthStub(channel).Check(request, timeout=10)
        other = channel.unary_unary("/fovea.encoder.v1.EncoderService/Describe", None, None)
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await other(b"", timeout=10)

    assert answer.status == health_pb2.HealthCheckResponse.SERVING
    assert refused.value.code() is grpc.StatusCode.UNIMPLEMENTED


async def test_certificates_and_authorities_change_under_load(
    serve: Serve, authority: trustme.CA, tmp_path: Path
) -> None:
    """No call fails while both ends move to another authority, on channels that stay and on new ones."""
    ends = [CertificateFolder(tmp_path / name, authority) for name in ("server", "caller")]
    server, caller = (files.security(tls_client_certificates=True) for files in ends)
    successor = trustme.CA()
    calls = 0
    stopping = asyncio.Event()

    async def load(target: str) -> None:
        nonlocal calls
        async with open_channel(target, security=caller) as channel:
            stub = encoder_pb2_grpc.EncoderServiceStub(channel)
            while not stopping.is_set():
                await stub.Encode(encoder_pb2.EncodeRequest(encoder="tiny"), timeout=10)
                assert await encode(target, caller) == "tiny"
                calls += 2

    async def taken() -> None:
        await until(lambda: all(map(_is_read, ends, (server, caller))))

    async with serve(server) as port:
        target = f"localhost:{port}"
        async with asyncio.TaskGroup() as group:
            for _ in range(2):
                group.create_task(load(target))
            for files in ends:
                files.trust(authority, successor)
            await taken()
            for files in ends:
                files.sign(successor)
            await taken()
            for files in ends:
                files.trust(successor)
            await taken()
            stopping.set()
        with pytest.raises(Unavailable):
            await encode(target, CertificateFolder(tmp_path / "late", authority).security())

    assert calls > 20


@pytest.mark.parametrize(
    ("settings", "complaint"),
    [
        ({"tls_key": None}, "FOVEA_TLS_CERTIFICATE and FOVEA_TLS_KEY belong together"),
        ({"tls_certificate": None}, "FOVEA_TLS_CERTIFICATE and FOVEA_TLS_KEY belong together"),
        ({"tls_ca": None, "tls_client_certificates": True}, "FOVEA_TLS_CLIENT_CERTIFICATES needs"),
        ({"tls_certificate": "nowhere.pem"}, "nowhere.pem cannot be read: No such file"),
        ({"tls_key": "other.key"}, "tls.crt cannot be used for TLS: key values mismatch"),
        ({"tls_key": "secret.key"}, "the TLS key has a passphrase"),
        ({"tls_ca": "empty.pem"}, "empty.pem cannot be used for TLS"),
        ({"tls_certificate": "empty.pem"}, "empty.pem cannot be used for TLS"),
    ],
)
def test_files_that_cannot_be_used_are_named(
    authority: trustme.CA, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, settings: dict[str, Any], complaint: str
) -> None:
    """A process does not start with certificates that nobody could accept; the line has no key in it."""
    files = CertificateFolder(tmp_path, authority)
    monkeypatch.chdir(tmp_path)
    Path("empty.pem").write_bytes(b"")
    Path("other.key").write_bytes(authority.issue_cert("x.example").private_key_pem.bytes())
    Path("secret.key").write_bytes(_encrypted_key())

    with pytest.raises(UnusableFile, match=re.escape(complaint)):
        files.security(**settings)


async def test_files_that_break_later_change_nothing(
    serve: Serve, authority: trustme.CA, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A certificate that arrives before its key is not used; the log says so, and the pair is taken later."""
    caplog.set_level(logging.INFO, logger="rpc.security.watched_files")
    files = CertificateFolder(tmp_path, authority)
    security = files.security()
    assert security.certificates is not None
    key = files.key.read_bytes()

    async with serve(security) as port:
        for content, said in ((b"", "cannot be used"), (key, "were read again")):
            files.key.write_bytes(content)
            await until(lambda said=said: bool(security.certificates.get()) and said in caplog.text)  # type: ignore[misc]
            assert await encode(f"localhost:{port}", security) == "tiny"


def _is_read(files: CertificateFolder, security: Security) -> bool:
    assert security.certificates is not None
    held = security.certificates.get()
    return (held.chain, held.authorities) == (files.certificate.read_bytes(), files.authorities.read_bytes())


def _encrypted_key() -> bytes:
    key = ec.generate_private_key(ec.SECP256R1())
    encryption = serialization.BestAvailableEncryption(b"passphrase")
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption)


def _name_loopback(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Lets a name stand for this machine, as the DNS of a cluster would for a pod."""
    known = socket.getaddrinfo

    def getaddrinfo(host: str, *rest: Any, **options: Any) -> Any:
        return known("127.0.0.1" if host == name else host, *rest, **options)

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)


def _speaks(port: int, version: ssl.TLSVersion) -> bool:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_alpn_protocols(["h2"])
    context.set_ciphers("DEFAULT:@SECLEVEL=0")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        context.minimum_version = context.maximum_version = version
    try:
        with socket.create_connection(("127.0.0.1", port)) as plain, context.wrap_socket(plain) as encrypted:
            return encrypted.version() is not None
    except (ssl.SSLError, ConnectionError):
        return False
