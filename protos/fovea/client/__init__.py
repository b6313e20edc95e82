"""A client of Fovea: searches, encodes and fills collections, on threads (`Client`) or on an event loop (`AsyncClient`)."""

from fovea.client.async_client import AsyncClient
from fovea.client.collections import CollectionInfo, ReindexProgress, ScrubProgress, StoredImage
from fovea.client.errors import FoveaError
from fovea.client.ingesting import IngestResult, Item
from fovea.client.parts import Part
from fovea.client.results import (
    Box,
    Detection,
    Detections,
    Encoded,
    FacetCounts,
    Hit,
    SearchResults,
)
from fovea.client.sync_client import Client

__all__ = [
    "AsyncClient",
    "Box",
    "Client",
    "CollectionInfo",
    "Detection",
    "Detections",
    "Encoded",
    "FacetCounts",
    "FoveaError",
    "Hit",
    "IngestResult",
    "Item",
    "Part",
    "ReindexProgress",
    "ScrubProgress",
    "SearchResults",
    "StoredImage",
]
