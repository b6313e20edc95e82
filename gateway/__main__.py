"""Starts the gateway: `python -m gateway`, told by FOVEA_GATEWAY_… (see settings.py)."""

import logging
import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import uvicorn

from encoders.images.libtiff import silence_libtiff
from gateway.app import create_app
from gateway.protocol import TimedProtocol
from gateway.settings import GatewaySettings
from rpc.environment import read_settings
from rpc.logs import configure_logging

_log = logging.getLogger(__name__)


class _Server(uvicorn.Server):
    """Ends the jobs first when it stops, so that those who follow one see its end instead of holding the exit."""

    def __init__(self, config: uvicorn.Config, app: Any) -> None:
        super().__init__(config)
        self._app = app

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        for server in self.servers:
            for each in server.sockets:
                _log.info("listening", extra={"address": self.config.host, "port": each.getsockname()[1]})

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Signals end the serving and nothing else, so that a drained gateway exits with 0; uvicorn raises them anew."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self.handle_exit)
        yield

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        await self._app.state.jobs.close()
        await super().shutdown(sockets)


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
        http=partial(  # type: ignore[arg-type]  # it is called like the class
            TimedProtocol, head_timeout_s=settings.head_timeout_s, write_timeout_s=settings.write_timeout_s
        ),
        log_config=None,
        access_log=False,
        server_header=False,
        # Nothing stands before the gateway unless an operator says so, and headers of strangers are not believed.
        proxy_headers=False,
        timeout_graceful_shutdown=settings.drain_s,
        h11_max_incomplete_event_size=64 << 10,
    )
    _Server(config, app).run()


if __name__ == "__main__":
    main()
