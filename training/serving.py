"""Owns what evaluation asks: a running Fovea, filled and searched through its RPCs as any client would."""

import json
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc

from domain.box import Box
from domain.detection import Detection
from domain.limits import MAX_QUERIES
from fovea.detector.v1 import detector_pb2, detector_pb2_grpc
from fovea.ingest.v1 import ingest_pb2, ingest_pb2_grpc
from fovea.search.v1 import search_pb2, search_pb2_grpc
from rpc.messages import box_message, detection_of

ROOT = Path(__file__).resolve().parents[1]
START_TIMEOUT_S = 120.0


@dataclass(frozen=True, slots=True)
class Query:
    """Words, a sketch, an image, or several of them.

    `region` limits the image to a box in normalized coordinates; `detect` asks for every object in it.
    """

    text: str = ""
    sketch: bytes = b""
    image: bytes = b""
    region: Box | None = None
    detect: bool = False

    def parts(self) -> list[search_pb2.QueryPart]:
        """The message's parts."""
        parts = []
        if self.text:
            parts.append(search_pb2.QueryPart(text=self.text))
        if self.sketch:
            parts.append(search_pb2.QueryPart(sketch=self.sketch))
        if self.image:
            region = None if self.region is None else box_message(self.region)
            parts.append(search_pb2.QueryPart(image=self.image, region=region, detect=self.detect))
        return parts


@dataclass(frozen=True, slots=True)
class Hit:
    """A hit: the uri that its image was ingested with, and how alike it is."""

    uri: str
    score: float


class Served:
    """Collections of a running system; errors are grpc.RpcError, as clients get them."""

    def __init__(self, ingest: grpc.Channel, search: grpc.Channel, detectors: Mapping[str, grpc.Channel]) -> None:
        self._ingest = ingest_pb2_grpc.IngestServiceStub(ingest)
        self._search = search_pb2_grpc.SearchServiceStub(search)
        self._detectors = {name: detector_pb2_grpc.DetectorServiceStub(channel) for name, channel in detectors.items()}

    def fill(
        self,
        collection: str,
        images: Iterable[tuple[str, bytes]],
        *,
        encoder: str,
        detector: str = "",
    ) -> None:
        """Create a collection and ingest (uri, encoded image).

        With a detector it is an object collection. An image that is not taken raises ValueError.
        """
        mode = ingest_pb2.COLLECTION_MODE_OBJECTS if detector else ingest_pb2.COLLECTION_MODE_WHOLE_IMAGE
        asked = ingest_pb2.Collection(name=collection, encoder=encoder, detector=detector, mode=mode, index="FLAT")
        self._ingest.CreateCollection(ingest_pb2.CreateCollectionRequest(collection=asked))

        def requests() -> Iterator[ingest_pb2.IngestRequest]:
            for uri, image in images:
                yield ingest_pb2.IngestRequest(collection=collection, item=ingest_pb2.Item(uri=uri, image=image))

        for answer in self._ingest.Ingest(requests()):
            if answer.status == ingest_pb2.INGEST_STATUS_FAILED:
                raise ValueError(f"{answer.uri}: {answer.error.message}")

    def search(self, collection: str, queries: Sequence[Query], *, limit: int) -> list[list[Hit]]:
        """Ask every query, exactly; the hits of each, best first."""
        answers = []
        for start in range(0, len(queries), MAX_QUERIES):
            batch = [
                search_pb2.SearchRequest(parts=query.parts(), limit=limit, exact=True, fold_copies=False)
                for query in queries[start : start + MAX_QUERIES]
            ]
            response = self._search.BatchSearch(search_pb2.BatchSearchRequest(collection=collection, queries=batch))
            for result in response.results:
                if result.WhichOneof("outcome") != "response":
                    raise ValueError(result.error.message)
                answers.append([Hit(hit.uri, hit.score) for hit in result.response.hits])
        return answers

    def detect(self, detector: str, image: bytes, *, min_score: float, limit: int) -> list[Detection]:
        """The objects that a detector finds in an encoded image, best first."""
        request = detector_pb2.DetectRequest(detector=detector, image=image, min_score=min_score, limit=limit)
        answer = self._detectors[detector].Detect(request)
        return [detection_of(item) for item in answer.detections]


@contextmanager
def served(*models: Path) -> Iterator[Served]:
    """`fovea up` in a folder of its own until the block ends: with these bundles, or folders of them, else the shipped ones."""
    with tempfile.TemporaryDirectory(prefix="fovea-evaluation-") as scratch, ExitStack() as stack:
        run = stack.enter_context(_up(Path(scratch), models))
        options = [("grpc.max_receive_message_length", 64 << 20), ("grpc.max_send_message_length", 64 << 20)]

        def channel(address: str) -> grpc.Channel:
            no_proxy = ("grpc.enable_http_proxy", 0)
            return stack.enter_context(grpc.insecure_channel(address, options=[*options, no_proxy]))

        detectors = {name: channel(address) for name, address in run["encoders"].items()}
        yield Served(channel(run["ingest"]), channel(run["search"]), detectors)


@contextmanager
def _up(scratch: Path, models: Sequence[Path]) -> Iterator[Mapping[str, Any]]:
    data, log = scratch / "data", scratch / "up.log"
    command = [str(Path(sys.executable).parent / "fovea"), "up", "--data", str(data), "--port", "0"]
    if models:
        command += ["--no-shipped", *(word for folder in models for word in ("--models", str(folder)))]
    with log.open("wb") as output:
        child = subprocess.Popen(command, cwd=ROOT, stdout=output, stderr=output)
    try:
        ends_s = time.monotonic() + START_TIMEOUT_S
        while not (data / "run.json").exists():
            if child.poll() is not None or time.monotonic() > ends_s:
                raise RuntimeError(f"fovea up did not start: {log.read_text()}")
            time.sleep(0.1)
        yield json.loads((data / "run.json").read_text())
    finally:
        child.send_signal(signal.SIGTERM)
        child.wait(30)
