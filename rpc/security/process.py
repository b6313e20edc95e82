"""What protects one process: made once from its settings, then handed to its server and to its channels."""

import sys
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Self

import grpc

from rpc.environment import read_settings
from rpc.security.access import EVERYBODY, Access
from rpc.security.certificates import NO_FILES, CertificateFiles, Certificates, server_credentials
from rpc.security.settings import SecuritySettings
from rpc.security.tokens import watched_token, watched_tokens
from rpc.security.watched_files import UnusableFile, WatchedFiles


@dataclass(frozen=True, slots=True)
class Security:
    """Certificates and tokens of a process; without any it speaks in the clear, with everybody.

    `access` says what its callers may; `own_token` is what it sends itself.
    """

    files: CertificateFiles = NO_FILES
    certificates: WatchedFiles[Certificates] | None = None
    requires_client_certificates: bool = False
    access: Access = EVERYBODY
    own_token: WatchedFiles[str] | None = None
    trusts_network: bool = False

    @classmethod
    def read(cls) -> Self:
        """As the environment says; ends the process with one line where that cannot be used."""
        try:
            return cls.of(read_settings(SecuritySettings))
        except UnusableFile as error:
            sys.exit(str(error))

    def require_protection(self, variable: str, host: str, *, serves_tls: bool, knows_callers: bool) -> None:
        """Ends a process that other machines could call at `host`, which `variable` names, unless it is protected."""
        missing = [
            name
            for name, is_there in (("TLS", serves_tls), ("tokens or client certificates", knows_callers))
            if not is_there
        ]
        if missing and not self.trusts_network and not _is_of_this_machine(host):
            sys.exit(
                f"{variable}: other machines can call {host or 'this address'} without {' and without '.join(missing)}; "
                "set up both as docs/security.md says, or set FOVEA_TRUSTED_NETWORK=true where only trusted machines reach it"
            )

    def require_protected_server(self, variable: str, address: str) -> None:
        """The same for a gRPC server that listens at `address`."""
        host = address.rpartition(":")[0].strip("[]")
        is_socket = address.startswith("unix:")
        knows_callers = self.access.needs_tokens or self.requires_client_certificates
        self.require_protection(
            variable, "localhost" if is_socket else host, serves_tls=self.serves_tls, knows_callers=knows_callers
        )

    @classmethod
    def of(cls, settings: SecuritySettings) -> Self:
        """As the settings say; UnusableFile where that cannot be used."""
        if (settings.tls_certificate is None) != (settings.tls_key is None):
            raise UnusableFile("FOVEA_TLS_CERTIFICATE and FOVEA_TLS_KEY belong together: set both or neither")
        if settings.tls_client_certificates and not (settings.tls_certificate and settings.tls_ca):
            raise UnusableFile(
                "FOVEA_TLS_CLIENT_CERTIFICATES needs FOVEA_TLS_CERTIFICATE, FOVEA_TLS_KEY and FOVEA_TLS_CA"
            )
        files = CertificateFiles(settings.tls_certificate, settings.tls_key, settings.tls_ca)
        return cls(
            files,
            files.watched() if files.paths else None,
            settings.tls_client_certificates,
            Access(watched_tokens(settings.tokens)) if settings.tokens else EVERYBODY,
            watched_token(settings.token_file) if settings.token_file else None,
            settings.trusted_network,
        )

    @property
    def serves_tls(self) -> bool:
        """Whether the ports of the process speak TLS."""
        return self.files.certificate is not None

    @property
    def calls_over_tls(self) -> bool:
        """Whether the process calls others over TLS."""
        return self.files.authorities is not None

    def environment(self) -> dict[str, str]:
        """The variables that give a process of another working folder the same files."""
        named = {
            "TLS_CERTIFICATE": self.files.certificate,
            "TLS_KEY": self.files.key,
            "TLS_CA": self.files.authorities,
            "TOKENS": self.access.path,
            "TOKEN_FILE": self.own_token.paths[0] if self.own_token else None,
        }
        return {f"FOVEA_{name}": str(path.absolute()) for name, path in named.items() if path is not None}

    def server_credentials(self) -> grpc.ServerCredentials | None:
        """What a gRPC port needs to speak TLS; None where it speaks in the clear."""
        if self.certificates is None or not self.serves_tls:
            return None
        return server_credentials(self.certificates, mutual=self.requires_client_certificates)

    @property
    def channel_certificates(self) -> WatchedFiles[Certificates] | None:
        """What calls to other processes need to speak TLS; None where they speak in the clear."""
        return self.certificates if self.calls_over_tls else None


PLAIN = Security()


def _is_of_this_machine(host: str) -> bool:
    """Whether an address can be called from this machine alone."""
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False
