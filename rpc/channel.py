"""How one Fovea process reaches another: balancing, retries, keepalive and message sizes."""

import json

import grpc

from rpc.security.certificates import Certificates
from rpc.security.process import PLAIN, Security
from rpc.security.secured_channel import SecuredChannel

# What only reads. Calls to encoders and detectors are retried by rpc/replicas.py, which can go to another target.
_READS = [
    {"service": "fovea.search.v1.SearchService"},
    *(
        {"service": "fovea.ingest.v1.IngestService", "method": method}
        for method in ("GetCollection", "ListCollections", "GetImage", "ListImages")
    ),
]
_SERVICE_CONFIG = {
    "loadBalancingConfig": [{"round_robin": {}}],
    "healthCheckConfig": {"serviceName": "readiness"},
    # Retries must not become the load that keeps a peer down: past a burst, one call in ten is sent again. The burst is the
    # calls that a peer had when it ended; with too few tokens those fail though another peer would answer them.
    "retryThrottling": {"maxTokens": 1000, "tokenRatio": 0.1},
    "methodConfig": [
        {
            "name": _READS,
            # The first retry is for calls that lost their peer and goes to another one; the last comes 3 s after the call,
            # when a name has been resolved again.
            "retryPolicy": {
                "maxAttempts": 5,
                "initialBackoff": "0.02s",
                "maxBackoff": "2s",
                "backoffMultiplier": 6,
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
        # A name is resolved again soon after a peer is lost: while others restart too, its new peers may be the only ones.
        # By default that waits until 30 s after it was resolved last.
        ("grpc.dns_min_time_between_resolutions_ms", 500),
        # Channels to one address share its connection otherwise. With health checks that is a race in gRPC 1.85: a second channel
        # that comes while the first one starts to check ends the process (HealthProducer::AddWatcher before Start).
        ("grpc.use_local_subchannel_pool", 1),
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

    def open_with(certificates: Certificates | None) -> grpc.aio.Channel:
        if certificates is None:
            return grpc.aio.insecure_channel(target, options=options)
        return grpc.aio.secure_channel(target, certificates.for_channels(), options=options)

    if security.channel_certificates is None and security.own_token is None:
        return open_with(None)
    return SecuredChannel(security.channel_certificates, security.own_token, open_with)
