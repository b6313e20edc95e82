"""Certificates for tests: an authority, and files that name what it signed."""

import datetime as dt
from pathlib import Path
from typing import Any

import trustme

from rpc.security.process import Security
from rpc.security.settings import SecuritySettings

LONG_AGO = dt.datetime(2020, 1, 1, tzinfo=dt.UTC)
FAR_AWAY = dt.datetime(2090, 1, 1, tzinfo=dt.UTC)
NAMES = ("localhost", "127.0.0.1", "::1", "encoder.example")


class CertificateFolder:
    """A folder with what one process needs: its certificate and key, and the authorities that it trusts."""

    def __init__(self, folder: Path, trusted: trustme.CA, signer: trustme.CA | None = None, **validity: Any) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.certificate, self.key, self.authorities = (folder / name for name in ("tls.crt", "tls.key", "ca.crt"))
        self.trust(trusted)
        self.sign(signer or trusted, **validity)

    def sign(self, signer: trustme.CA, *names: str, **validity: Any) -> None:
        """Write a new certificate and its key."""
        issued = signer.issue_cert(*(names or NAMES), **validity)
        self.certificate.write_bytes(b"".join(each.bytes() for each in issued.cert_chain_pems))
        self.key.write_bytes(issued.private_key_pem.bytes())

    def trust(self, *authorities: trustme.CA) -> None:
        """Write the authorities."""
        self.authorities.write_bytes(b"".join(each.cert_pem.bytes() for each in authorities))

    def settings(self, **settings: Any) -> SecuritySettings:
        """Settings that name the files, and more or others."""
        files = {"tls_certificate": self.certificate, "tls_key": self.key, "tls_ca": self.authorities}
        return SecuritySettings.model_validate(files | settings)

    def security(self, **settings: Any) -> Security:
        """What a process has with these settings."""
        return Security.of(self.settings(**settings))
