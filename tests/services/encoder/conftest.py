"""A real encoder process's parts on a free port, with tiny bundles."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import grpc
import pytest

from rpc.channel import open_channel
from rpc.server import ThreadServer
from services.encoder.models import Models
from services.encoder.offering import SERVICES, offering
from services.encoder.settings import EncoderSettings
from tests.support.bundles import tiny_detector_bundle, tiny_image_bundle, tiny_text_bundle


@pytest.fixture(scope="session")
def settings(tmp_path_factory: pytest.TempPathFactory) -> EncoderSettings:
    folder: Path = tmp_path_factory.mktemp("bundles")
    bundles = [
        tiny_image_bundle(folder / "tiny", modalities=("image", "sketch"), purpose="Finds colours.", is_default=True),
        tiny_text_bundle(folder / "tiny_text", languages=("en", "de")),
        tiny_detector_bundle(folder / "tiny_detector", domain="coloured blocks", is_default=True),
    ]
    return EncoderSettings(bundles=tuple(bundle.folder for bundle in bundles), provider="cpu", drain_s=1)


@pytest.fixture(scope="session")
def server(settings: EncoderSettings) -> Iterator[ThreadServer]:
    with (
        Models(settings) as models,
        ThreadServer(settings, services=SERVICES) as serving,
        offering(serving, settings, models),
    ):
        yield serving


@pytest.fixture
async def channel(server: ThreadServer) -> AsyncIterator[grpc.aio.Channel]:
    async with open_channel(f"127.0.0.1:{server.port}") as opened:
        yield opened
