"""Starts the gateway: `python -m gateway`, with FOVEA_GATEWAY_… from the environment (see settings.py)."""

import logging
import ssl
import sys
from collections.abc import Callable
from functools import partial

import uvicorn

from encoders.images.libtiff import silence_libtiff
from gateway.app import create_app
from gateway.server import GatewayServer, TimedProtocol
from gateway.settings import GatewaySettings
from rpc.environment import read_settings
from rpc.logs import configure_logging
from rpc.security.process import Security
from rpc.tracing import configure_tracing


def main() -> None:
    """Serves until SIGTERM or SIGINT."""
    settings, security = read_settings(GatewaySettings), Security.read()
    https = _https(settings, security)
    security.require_protection(
        "FOVEA_GATEWAY_HOST",
        settings.host,
        serves_tls=https is not None,
        knows_callers=security.access.needs_tokens or settings.https == "mutual",
    )
    configure_logging(settings.log_level)
    configure_tracing("gateway")
    silence_libtiff()
    logging.getLogger("uvicorn").setLevel(logging.WARNING)
    app = create_app(settings, security)
    config = uvicorn.Config(
        app,
        host=settings.host,
        port=settings.port,
        http=partial(  # type: ignore[arg-type]  # uvicorn calls it as it would call the class
            TimedProtocol, head_timeout_s=settings.head_timeout_s, write_timeout_s=settings.write_timeout_s
        ),
        ssl_context_factory=https,
        log_config=None,
        access_log=False,
        server_header=False,
        # X-Forwarded-… headers are trusted by default, but any client can send them.
        proxy_headers=False,
        timeout_graceful_shutdown=settings.drain_s,
        h11_max_incomplete_event_size=64 << 10,
    )
    GatewayServer(config, app).run()


def _https(settings: GatewaySettings, security: Security) -> Callable[..., ssl.SSLContext] | None:
    """What uvicorn calls for the certificates of HTTPS; None where it serves HTTP."""
    if settings.https == "mutual" and not (security.serves_tls and security.calls_over_tls):
        sys.exit("FOVEA_GATEWAY_HTTPS=mutual needs FOVEA_TLS_CERTIFICATE, FOVEA_TLS_KEY and FOVEA_TLS_CA")
    if settings.https == "off" or not security.serves_tls:
        return None
    return lambda *_: security.files.https_context(mutual=settings.https == "mutual")


if __name__ == "__main__":
    main()
