"""The route that tells which encoders and detectors are served."""

from dataclasses import asdict
from typing import Any

from fastapi import APIRouter

from gateway.backends import BackendsOf
from rpc.clients import DetectorInfo, EncoderInfo

router = APIRouter(tags=["encoders"])


@router.get("/encoders")
async def list_encoders(backends: BackendsOf) -> dict[str, Any]:
    """List the bundles served: encoders with their spaces and modalities, detectors with their labels."""
    await backends.directory.refresh()
    encoders = await backends.directory.encoders()
    detectors = await backends.directory.detectors()
    return {
        "encoders": [_encoder_json(entry.info) for entry in encoders],
        "detectors": [_detector_json(entry.info) for entry in detectors],
    }


def _encoder_json(info: EncoderInfo) -> dict[str, Any]:
    return asdict(info) | {"modalities": sorted(info.modalities)}


def _detector_json(info: DetectorInfo) -> dict[str, Any]:
    return asdict(info)
