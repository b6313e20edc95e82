"""Owns object search without services: the same bundles and the same code around them, one photo after another."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from domain.box import WHOLE_IMAGE, Box
from domain.detection import Detection
from encoders.bundle import Bundle
from encoders.images.decoding import open_image
from encoders.images.resizing import crop, enough_px, resize
from encoders.serving.detection import postprocess
from encoders.serving.session import DetectorSession, EmbeddingSession, RawDetections
from training.average_precision import MOST_DETECTIONS
from training.objects.detector import SHOWN_SCORE

BATCH = 16


class InProcessDetector:
    """A detector; images are encoded ones."""

    def __init__(self, bundle: Bundle) -> None:
        self._session = DetectorSession(bundle)

    def detect(self, image: bytes, *, min_score: float) -> list[Detection]:
        """The objects of an image, best first."""
        bundle, opened = self._session.bundle, open_image(image)
        preprocessing = bundle.image_preprocessing
        decoded = opened.decode(enough_px=enough_px(opened.header, [None], preprocessing))
        (raw,) = self._session.run([resize(decoded.pixels, preprocessing)]).results
        assert isinstance(raw, RawDetections), raw
        return postprocess(
            raw,
            labels=bundle.labels,
            image_px=(decoded.width_px, decoded.height_px),
            preprocessing=preprocessing,
            min_score=min_score,
            limit=MOST_DETECTIONS,
            max_overlap=bundle.max_overlap,
        )


class InProcess(InProcessDetector):
    """A detector and the encoder of what it finds."""

    def __init__(self, detector: Bundle, encoder: Bundle) -> None:
        super().__init__(detector)
        self._encoder = EmbeddingSession(encoder)

    def index(self, images: Sequence[bytes]) -> tuple[NDArray[np.float32], NDArray[np.intp]]:
        """Embeddings (R, D) of everything found, and the row of the image (R,) that each is from.

        An image without objects is one as a whole.
        """
        boxes = [[item.box for item in self.detect(image, min_score=SHOWN_SCORE)] or [WHOLE_IMAGE] for image in images]
        rows = np.repeat(np.arange(len(images)), [len(own) for own in boxes])
        embeddings = [self._embed(image, own) for image, own in zip(images, boxes, strict=True)]
        return np.concatenate(embeddings), rows

    def embed(self, image: bytes, box: Box) -> NDArray[np.float32]:
        """The embedding (D,) of a part of an image."""
        return np.asarray(self._embed(image, [box])[0])

    def _embed(self, image: bytes, boxes: Sequence[Box]) -> NDArray[np.float32]:
        opened, preprocessing = open_image(image), self._encoder.bundle.image_preprocessing
        pixels = opened.decode(enough_px=enough_px(opened.header, boxes, preprocessing)).pixels
        inputs = [resize(crop(pixels, box), preprocessing) for box in boxes]
        embeddings = list[NDArray[np.float32]]()
        for start in range(0, len(inputs), BATCH):
            for answer in self._encoder.run(inputs[start : start + BATCH]).results:
                assert isinstance(answer, np.ndarray), answer
                embeddings.append(answer)
        return np.stack(embeddings)
