"""How much boxes of one class may overlap is the bundle's to say."""

import dataclasses
from pathlib import Path
from typing import Any

import grpc
import pytest

from domain.detection import Detection
from fovea.detector.v1 import detector_pb2, detector_pb2_grpc
from rpc.server import ThreadServer
from services.encoder import data_plane
from services.encoder.models import Models
from services.encoder.offering import SERVICES, offering
from services.encoder.settings import EncoderSettings
from tests.support.bundles import tiny_detector_bundle
from tests.support.images import corners, encoded


@pytest.mark.parametrize("max_overlap", [None, 1.0])
def test_the_bundles_overlap_is_applied(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, max_overlap: float | None
) -> None:
    """A detector that chose among its boxes itself is served without a second choice."""
    applied: list[float | None] = []

    def objects(*_: Any, max_overlap: float | None, **__: Any) -> list[Detection]:
        applied.append(max_overlap)
        return []

    monkeypatch.setattr(data_plane, "postprocess", objects)
    bundle = tiny_detector_bundle(tmp_path / "tiny_detector")
    dataclasses.replace(bundle, max_overlap=max_overlap).write(bundle.folder)
    settings = EncoderSettings(bundles=(bundle.folder,), provider="cpu", drain_s=1)

    with (
        Models(settings) as models,
        ThreadServer(settings, services=SERVICES) as server,
        offering(server, settings, models),
        grpc.insecure_channel(f"127.0.0.1:{server.port}") as channel,
    ):
        stub: Any = detector_pb2_grpc.DetectorServiceStub(channel)
        stub.Detect(detector_pb2.DetectRequest(image=encoded(corners())), timeout=30)

    assert applied == [max_overlap]
