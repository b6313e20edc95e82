"""The settings of TLS and tokens: one set of variables, which all processes of a machine and the commands read."""

from pathlib import Path

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from rpc.environment import ProcessSettings


class SecuritySettings(ProcessSettings):
    """Certificates, and what a process does about callers."""

    model_config = SettingsConfigDict(frozen=True, env_prefix="FOVEA_", env_ignore_empty=True)

    tls_certificate: Path | None = Field(
        None,
        description="PEM file with this process's certificate and those between it and its authority; with it the process "
        "speaks TLS, and shows it to the processes that it calls.",
    )
    tls_key: Path | None = Field(None, description="PEM file with the key of that certificate, without a passphrase.")
    tls_ca: Path | None = Field(
        None,
        description="PEM file with the authorities of other processes' certificates; with it calls to them speak TLS.",
    )
    tls_client_certificates: bool = Field(
        False, description="Refuse callers over gRPC that have no certificate of these authorities (mTLS)."
    )
    tokens: Path | None = Field(
        None,
        description="JSON file with the tokens of callers, as `fovea token create` writes it; without one no caller needs a "
        "token.",
    )
    token_file: Path | None = Field(
        None, description="File with the one token that this process or command itself sends."
    )
    trusted_network: bool = Field(
        False,
        description="Listen on addresses that other machines reach without TLS, or without asking who calls: only trusted ones "
        "reach them.",
    )
