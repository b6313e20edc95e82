"""How one Fovea process reaches another: balancing, retries, keepalive and message sizes."""

import json

import grpc

from rpc.security.process import PLAIN, Security
from rpc.security.secured_channel import SecuredChannel

_SERVICE_CONFIG = {
    "loadBalancingConfig": [{"round_robin": {}}],
    "healthCheckConfig": {"serviceName": "readiness"},
    # A peer that fails often is not asked twice: retries must not become the load that keeps it down.
    "retryThrottling": {"maxTokens": 10, "tokenRatio": 0.1},
    # Searches alone: calls to encoders and detectors are retried by rpc/replicas.py, which can go to another target.
    "methodConfig": [
        {
            "name": [{"service": "fovea.search.v1.SearchService"}],
            "retryPolicy": {
                "maxAttempts": 2,
                "initialBackoff": "0.02s",
                "maxBackoff": "0.2s",
                "backoffMultiplier": 2,
                "retryableStatusCodes": ["UNAVAILABLE"],
            },
        }
    ],
}


def channel_options(max_message_bytes: int, *, keepalive_ms: int = 10_000) -> list[tuple[str, str | int]]:
    """The options of every channel that Fovea opens."""
    return [
        ("grpc.service_config", json.dumps(_SERVICE_CONFIG)),
        ("grpc.enable_retries", 1),
        # A proxy that the environment names for the web must not come between the processes of one system.
        ("grpc.enable_http_proxy", 0),
        ("grpc.max_send_message_length", max_message_bytes),
        ("grpc.max_receive_message_length", max_message_bytes),
        # A peer that hangs or was cut off is dropped after 20 s; the health watch keeps a stream open, so pings go on.
        ("grpc.keepalive_time_ms", keepalive_ms),
        ("grpc.keepalive_timeout_ms", 10_000),
        ("grpc.http2.max_pings_without_data", 0),
        # A name is asked again soon after a peer is lost: while others restart too, its new peers may be the only ones.
        ("grpc.dns_min_time_between_resolutions_ms", 5_000),
        # A restarted peer is looked for again soon; the default waits up to two minutes.
        ("grpc.initial_reconnect_backoff_ms", 100),
        ("grpc.max_reconnect_backoff_ms", 2_000),
    ]


def open_channel(
    target: str, *, security: Security = PLAIN, authority: str = "", max_message_bytes: int = 64 << 20
) -> grpc.aio.Channel:
    """A lazily connected channel to `target`, for example `dns:///search:50051`; close it with `await close()`.

    `authority` is the name that the server's certificate must have where the target is an address.
    """
    options = channel_options(max_message_bytes)
    if authority:
        options.append(("grpc.default_authority", authority))
    if security.channel_certificates is None:
        return grpc.aio.insecure_channel(target, options=options)
    return SecuredChannel(
        security.channel_certificates,
        lambda certificates: grpc.aio.secure_channel(target, certificates.for_channels(), options=options),
    )
