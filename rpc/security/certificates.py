"""Certificates as gRPC and HTTPS take them, checked before they are used."""

import ssl
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc

from rpc.security.watched_files import UnusableFile, WatchedFiles, read_file


@dataclass(frozen=True, slots=True)
class CertificateFiles:
    """Where the certificate of a process, its key, and the authorities of other processes are; each may be absent."""

    certificate: Path | None = None
    key: Path | None = None
    authorities: Path | None = None

    @property
    def paths(self) -> list[Path]:
        """Those that there are."""
        return [path for path in (self.certificate, self.key, self.authorities) if path is not None]

    def watched(self) -> "WatchedFiles[Certificates]":
        """Their content, which follows the files; UnusableFile where it cannot be used now."""
        return WatchedFiles(self.paths, self._read)

    def https_context(self, *, mutual: bool) -> ssl.SSLContext:
        """What an HTTPS server needs; each connection gets the certificates that the files hold then."""
        contexts = WatchedFiles(self.paths, lambda: self._server_context(mutual=mutual))
        first = contexts.get()

        def renew(connection: Any, _: object, __: object) -> None:
            connection.context = contexts.get()

        # Called at the beginning of every handshake, also where the client names no server.
        first.sni_callback = renew
        return first

    def client_context(self) -> ssl.SSLContext:
        """What a client of HTTPS needs that knows these authorities."""
        context = ssl.create_default_context(cafile=self.authorities)
        if self.certificate is not None:
            context.load_cert_chain(self.certificate, self.key)
        return context

    def _read(self) -> "Certificates":
        contents = [read_file(path) if path else b"" for path in (self.key, self.certificate, self.authorities)]
        self._server_context(mutual=self.authorities is not None)
        return Certificates(*contents)

    def _server_context(self, *, mutual: bool) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.set_alpn_protocols(["http/1.1"])
        if self.certificate is not None and self.key is not None:
            _load(lambda: context.load_cert_chain(self.certificate, self.key, _no_passphrase), self.certificate)  # type: ignore[arg-type]
        if mutual and self.authorities is not None:
            _load(lambda: context.load_verify_locations(self.authorities), self.authorities)
            context.verify_mode = ssl.CERT_REQUIRED
        return context


NO_FILES = CertificateFiles()


@dataclass(frozen=True, slots=True)
class Certificates:
    """PEM: the process's key, its certificate with those above it, and the authorities; empty where there is none."""

    key: bytes
    chain: bytes
    authorities: bytes

    def for_channels(self) -> grpc.ChannelCredentials:
        """Credentials of a channel, which checks the server's certificate and its name."""
        return grpc.ssl_channel_credentials(self.authorities, self.key or None, self.chain or None)

    def for_servers(self) -> grpc.ServerCertificateConfiguration:
        """The configuration of a server."""
        return grpc.ssl_server_certificate_configuration([(self.key, self.chain)], self.authorities or None)


def server_credentials(files: WatchedFiles[Certificates], *, mutual: bool) -> grpc.ServerCredentials:
    """Credentials of a gRPC server; each new connection gets the certificates that the files hold then."""
    return grpc.dynamic_ssl_server_credentials(
        files.get().for_servers(), lambda: files.get().for_servers(), require_client_authentication=mutual
    )


def _load(load: Callable[[], None], path: Path) -> None:
    try:
        load()
    except ssl.SSLError as error:
        reason = (error.reason or str(error)).lower().replace("_", " ")
        raise UnusableFile(f"{path} cannot be used for TLS: {reason}") from error
    except OSError as error:
        raise UnusableFile(f"{error.filename or path} cannot be read: {error.strerror}") from error


def _no_passphrase() -> str:
    # Without this OpenSSL asks for it on the terminal, and the process waits.
    raise UnusableFile("the TLS key has a passphrase: give one without, readable by this process alone")
