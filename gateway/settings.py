"""The gateway's settings."""

from pathlib import Path
from typing import Literal

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from rpc.environment import ProcessSettings


class GatewaySettings(ProcessSettings):
    """Address, peers, folders and limits of the HTTP gateway."""

    model_config = SettingsConfigDict(frozen=True, env_prefix="FOVEA_GATEWAY_")

    host: str = Field("127.0.0.1", description="Address to listen on.")
    port: int = Field(8080, ge=0, le=65535, description="Port to listen on; port 0 takes a free one.")
    https: Literal["on", "mutual", "off"] = Field(
        "on",
        description="With FOVEA_TLS_CERTIFICATE: `on` serves HTTPS, `mutual` to callers with a certificate of FOVEA_TLS_CA "
        "alone, `off` HTTP, behind a proxy that ends TLS.",
    )
    search: str = Field("127.0.0.1:50051", description="Where the search service listens.")
    ingest: str = Field("127.0.0.1:50052", description="Where the ingest service listens.")
    encoders: tuple[str, ...] = Field(("127.0.0.1:50061",), description="Where the encoder services listen.")
    roots: tuple[Path, ...] = Field((), description="The only folders that images are served and ingested from.")
    uploads: Path | None = Field(
        None, description="The folder where the ingest service keeps uploaded images; none: uploads cannot be shown."
    )
    hosts: tuple[str, ...] = Field(
        (), description="Host names that requests may name besides the loopback ones; `*` allows any."
    )
    cors_origins: tuple[str, ...] = Field(
        (), description="Origins of other web pages that may use the API, for example https://shop.example; none: off."
    )
    max_body_mib: int = Field(64, ge=1, le=1024, description="The largest request body, in MiB.")
    max_bodies_mib: int = Field(
        128, ge=1, description="What all request bodies may hold together, in MiB; more is refused with 429."
    )
    max_picture_mib: int = Field(60, ge=1, le=1024, description="The largest image file that is served, in MiB.")
    max_in_flight: int = Field(128, ge=1, description="Requests in flight at once; more are refused with 429.")
    max_followers: int = Field(256, ge=1, description="Clients that follow jobs at once; more are refused with 429.")
    head_timeout_s: float = Field(
        10.0, gt=0, description="The longest that the head of a request may take to arrive, in seconds."
    )
    body_timeout_s: float = Field(60.0, gt=0, description="The longest that a body may take to arrive, in seconds.")
    write_timeout_s: float = Field(
        30.0, gt=0, description="A client that reads less than 4 KiB a second for this long is dropped, in seconds."
    )
    request_timeout_s: float = Field(
        30.0, gt=0, description="The longest that the services may take for one request, in seconds."
    )
    thumbnail_threads: int = Field(2, ge=1, description="Threads that make thumbnails.")
    thumbnail_mib: int = Field(
        768,
        ge=64,
        description="Memory that images may take while thumbnails are made, in MiB; a larger one is made alone.",
    )
    drain_s: int = Field(5, ge=0, description="How long running requests may go on after SIGTERM, in seconds.")
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="The least severe log line that is written."
    )
