"""What protects one process: made once from its settings, then handed to its server and to its channels."""

import sys
from dataclasses import dataclass
from typing import Self

import grpc

from rpc.environment import read_settings
from rpc.security.certificates import NO_FILES, CertificateFiles, Certificates, server_credentials
from rpc.security.settings import SecuritySettings
from rpc.security.watched_files import UnusableFile, WatchedFiles


@dataclass(frozen=True, slots=True)
class Security:
    """The certificates of a process; without any it speaks in the clear."""

    files: CertificateFiles = NO_FILES
    certificates: WatchedFiles[Certificates] | None = None
    requires_client_certificates: bool = False

    @classmethod
    def read(cls) -> Self:
        """As the environment says; ends the process with one line where that cannot be used."""
        try:
            return cls.of(read_settings(SecuritySettings))
        except UnusableFile as error:
            sys.exit(str(error))

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
        return cls(files, files.watched() if files.paths else None, settings.tls_client_certificates)

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
        named = {"CERTIFICATE": self.files.certificate, "KEY": self.files.key, "CA": self.files.authorities}
        return {f"FOVEA_TLS_{name}": str(path.absolute()) for name, path in named.items() if path is not None}

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
