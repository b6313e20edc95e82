"""One detector bundle at work: a picture in, its objects out."""

import time
from dataclasses import dataclass

from domain.detection import Detection
from encoders.errors import DecodingCancelled, InvalidContent, ModelError
from encoders.serving.detection import postprocess
from encoders.serving.session import DetectorSession, RawDetections
from services.encoder.batcher import Batcher
from services.encoder.call import Call
from services.encoder.reading import Content, PictureReader, PictureSize


@dataclass(frozen=True, slots=True)
class Found:
    """The objects of one picture, best first, and the upright picture's size."""

    detections: list[Detection]
    size: PictureSize
    warnings: tuple[str, ...]


class Detector:
    """Finds objects with one bundle."""

    def __init__(self, session: DetectorSession, batcher: Batcher[RawDetections], reader: PictureReader) -> None:
        self.bundle = session.bundle
        self.graph = session.graph
        self._batcher = batcher
        self._reader = reader

    def detect(self, image: bytes, *, min_score: float, limit: int, call: Call[RawDetections]) -> Found:
        """Find at most `limit` objects; raises `InvalidContent` or `ModelError`, for a call of one picture."""
        with self._batcher.admitted(call):
            started_s = time.perf_counter()
            try:
                (readable,), size = self._reader.read_sized(Content("image", image), call)
            except DecodingCancelled:
                call.outcomes()  # the call is over: this raises what ended it
                raise
            if isinstance(readable, InvalidContent):
                raise readable
            call.note(decode_s=time.perf_counter() - started_s)
            self._batcher.put(call, 0, readable.item)
            (raw,) = call.outcomes()
        if isinstance(raw, InvalidContent | ModelError):
            raise raw
        detections = postprocess(
            raw,
            labels=self.bundle.labels,
            image_px=(size.width_px, size.height_px),
            preprocessing=self.bundle.image_preprocessing,
            min_score=min_score,
            limit=limit,
        )
        return Found(detections, size, readable.warnings)
