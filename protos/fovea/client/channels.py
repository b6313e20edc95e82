"""The channels of a client: balanced over the replicas of a target, with retries of what is safe to repeat."""

import json
from typing import TypeAlias

import grpc

Options: TypeAlias = "list[tuple[str, str | int]]"

MAX_MESSAGE_BYTES = 64 << 20

# What only reads may be sent again; a server that may not be asked again says so with `grpc-retry-pushback-ms`.
_READS = [
    {"service": "fovea.search.v1.SearchService"},
    {"service": "fovea.encoder.v1.EncoderService"},
    {"service": "fovea.detector.v1.DetectorService"},
    *(
        {"service": "fovea.ingest.v1.IngestService", "method": method}
        for method in ("GetCollection", "ListCollections", "GetImage", "ListImages")
    ),
]
_SERVICE_CONFIG = {
    "loadBalancingConfig": [{"round_robin": {}}],
    "healthCheckConfig": {"serviceName": "readiness"},
    # Enough for 100 calls at once that lose their server; past that, one call in ten is sent again.
    "retryThrottling": {"maxTokens": 200, "tokenRatio": 0.1},
    "methodConfig": [
        {
            "name": _READS,
            "retryPolicy": {
                # After some 0.05, 0.2, 0.8 and 2 s: by the last one a name has been resolved again.
                "maxAttempts": 5,
                "initialBackoff": "0.05s",
                "maxBackoff": "2s",
                "backoffMultiplier": 4,
                "retryableStatusCodes": ["UNAVAILABLE", "RESOURCE_EXHAUSTED"],
            },
        }
    ],
}
CHANNEL_OPTIONS: Options = [
    ("grpc.service_config", json.dumps(_SERVICE_CONFIG)),
    ("grpc.enable_retries", 1),
    # A proxy that the environment names for the web does not know the hosts of Fovea.
    ("grpc.enable_http_proxy", 0),
    ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
    ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    # Soon after a server is lost, and not 30 s after the last time: those that took the places of all others may be new.
    ("grpc.dns_min_time_between_resolutions_ms", 500),
    # With shared connections gRPC 1.85 may end the process where two channels start to check the health of one server at once.
    ("grpc.use_local_subchannel_pool", 1),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 2_000),
]


def open_channel(target: str, credentials: grpc.ChannelCredentials | None) -> grpc.Channel:
    """A channel for threads; without credentials it is not encrypted."""
    if credentials is None:
        return grpc.insecure_channel(target, options=CHANNEL_OPTIONS)
    return grpc.secure_channel(target, credentials, options=CHANNEL_OPTIONS)


def open_async_channel(target: str, credentials: grpc.ChannelCredentials | None) -> grpc.aio.Channel:
    """The same for an event loop."""
    if credentials is None:
        return grpc.aio.insecure_channel(target, options=CHANNEL_OPTIONS)
    return grpc.aio.secure_channel(target, credentials, options=CHANNEL_OPTIONS)
