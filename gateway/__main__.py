"""Starts the gateway: `python -m gateway`, with FOVEA_GATEWAY_… from the environment (see settings.py)."""

import logging
from functools import partial

import uvicorn

from encoders.images.libtiff import silence_libtiff
from gateway.app import create_app
from gateway.server import GatewayServer, TimedProtocol
from gateway.settings import GatewaySettings
from rpc.environment import read_settings
from rpc.logs import configure_logging


def main() -> None:
    """Serves until SIGTERM or SIGINT."""
    settings = read_settings(GatewaySettings)
    configure_logging(settings.log_level)
    silence_libtiff()
    logging.getLogger("uvicorn").setLevel(logging.WARNING)
    app = create_app(settings)
    config = uvicorn.Config(
        app,
        host=settings.host,
        port=settings.port,
        http=partial(  # type: ignore[arg-type]  # uvicorn calls it as it would call the class
            TimedProtocol, head_timeout_s=settings.head_timeout_s, write_timeout_s=settings.write_timeout_s
        ),
        log_config=None,
        access_log=False,
        server_header=False,
        # X-Forwarded-… headers are trusted by default, but any client can send them.
        proxy_headers=False,
        timeout_graceful_shutdown=settings.drain_s,
        h11_max_incomplete_event_size=64 << 10,
    )
    GatewayServer(config, app).run()


if __name__ == "__main__":
    main()
