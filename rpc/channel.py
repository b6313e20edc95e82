"""How one Fovea process reaches another: balancing, retries, keepalive and message sizes."""

import json

import grpc

_READS = (
    "fovea.encoder.v1.EncoderService",
    "fovea.detector.v1.DetectorService",
    "fovea.search.v1.SearchService",
)

_SERVICE_CONFIG = {
    "loadBalancingConfig": [{"round_robin": {}}],
    "healthCheckConfig": {"serviceName": "readiness"},
    # A peer that fails often is not asked twice: retries must not become the load that keeps it down.
    "retryThrottling": {"maxTokens": 10, "tokenRatio": 0.1},
    "methodConfig": [
        {
            "name": [{"service": service} for service in _READS],
            "retryPolicy": {
                "maxAttempts": 3,
                "initialBackoff": "0.02s",
                "maxBackoff": "0.2s",
                "backoffMultiplier": 2,
                "retryableStatusCodes": ["UNAVAILABLE"],
            },
        }
    ],
}


def channel_options(max_message_bytes: int) -> list[tuple[str, str | int]]:
    """The options of every channel that Fovea opens."""
    return [
        ("grpc.service_config", json.dumps(_SERVICE_CONFIG)),
        ("grpc.enable_retries", 1),
        # A proxy for the web has no business between processes of one system.
        ("grpc.enable_http_proxy", 0),
        ("grpc.max_send_message_length", max_message_bytes),
        ("grpc.max_receive_message_length", max_message_bytes),
        ("grpc.keepalive_time_ms", 60_000),
        ("grpc.keepalive_timeout_ms", 20_000),
        # A restarted peer is looked for again soon; the default waits up to two minutes.
        ("grpc.initial_reconnect_backoff_ms", 100),
        ("grpc.max_reconnect_backoff_ms", 2_000),
    ]


def open_channel(target: str, *, max_message_bytes: int = 64 << 20) -> grpc.aio.Channel:
    """A lazily connected channel to `target`, for example `dns:///search:50051`; close it with `await close()`."""
    return grpc.aio.insecure_channel(target, options=channel_options(max_message_bytes))
