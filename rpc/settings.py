"""The settings of every gRPC process; each process adds its own in a subclass with its own prefix."""

from typing import Literal

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from rpc.environment import ProcessSettings


class ServerSettings(ProcessSettings):
    """Address, limits and log of one gRPC server."""

    model_config = SettingsConfigDict(frozen=True)

    address: str = Field("127.0.0.1:0", description="Host and port to listen on; port 0 takes a free one.")
    max_message_mib: int = Field(
        64,
        ge=1,
        le=1024,
        description="The largest message that is read or sent, in MiB; clients take 4 MiB unless `grpc.max_receive_message_length` says more.",
    )
    max_in_flight: int = Field(
        64, ge=1, description="Unary calls worked on at once; more are refused with RESOURCE_EXHAUSTED."
    )
    max_streams: int = Field(
        64, ge=1, description="Streams open at once, beside the unary calls; more are refused with RESOURCE_EXHAUSTED."
    )
    max_time_s: float = Field(60.0, gt=0, description="The longest that a unary call may take, in seconds.")
    max_stream_s: float = Field(21_600.0, gt=0, description="The longest that a stream may stay open, in seconds.")
    first_message_s: float = Field(
        30.0, gt=0, description="How long an open call may wait for its first message, in seconds."
    )
    stream_idle_s: float = Field(
        300.0,
        gt=0,
        description="How long a stream may stay open while the server waits for the caller and nothing is sent either way, "
        "in seconds.",
    )
    stream_write_s: float = Field(
        60.0, gt=0, description="How long an answer may wait for a caller that does not read, in seconds."
    )
    ping_interval_s: float = Field(
        5.0, ge=0, description="The shortest time between two keepalive pings; callers that ping faster are cut off."
    )
    connection_age_s: float = Field(
        60.0,
        gt=0,
        description="How long a connection lasts before its caller is asked to connect anew, and so to look the name up and find new "
        "processes, in seconds; running calls finish.",
    )
    drain_s: float = Field(5.0, ge=0, description="How long running calls may go on after SIGTERM, in seconds.")
    metrics_port: int = Field(0, ge=0, le=65535, description="Port of the Prometheus page; 0 switches it off.")
    health_port: int = Field(
        0,
        ge=0,
        le=65535,
        description="Port with the health service alone, in the clear, for probes that speak no TLS; 0 opens none.",
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="The least severe log line that is written."
    )
    logged_calls: float = Field(
        0.0,
        ge=0,
        le=1,
        description="The part of successful calls that get a log line at level info, 0 to 1; calls that fail always do.",
    )

    @property
    def max_message_bytes(self) -> int:
        """The message limit in bytes."""
        return self.max_message_mib << 20
