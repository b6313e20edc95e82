"""Search on the embedded stores right after an ingest: the time beyond the encoding, at 5,000 and 20,000 images.

python -m benchmarks.embedded [--counts 5000 20000]
"""

import argparse
import io
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import grpc
from PIL import Image

from benchmarks.photos import photos
from benchmarks.servers import system
from fovea.ingest.v1 import ingest_pb2, ingest_pb2_grpc
from fovea.search.v1 import search_pb2, search_pb2_grpc

_COLLECTION = "bench_embedded"
_QUERIES = 60
_DIFFERENT = 1000


@dataclass(frozen=True, slots=True)
class Gallery:
    """Endlessly many different images: the photos, then ever narrower cuts of them."""

    photos: list[Path]

    def image(self, number: int) -> bytes:
        """The encoded image of that number."""
        photo, cut = self.photos[number % len(self.photos)], number // len(self.photos)
        if cut == 0:
            return photo.read_bytes()
        image = Image.open(photo).convert("RGB")
        share = 0.02 * cut
        box = (int(image.width * share), int(image.height * share), image.width, image.height)
        encoded = io.BytesIO()
        image.crop(box).save(encoded, "JPEG")
        return encoded.getvalue()


def fill_up(channel: grpc.Channel, gallery: Gallery, numbers: range) -> float:
    """Ingests images; returns how many a second."""
    stub, started_s = ingest_pb2_grpc.IngestServiceStub(channel), time.perf_counter()

    def requests() -> Iterator[ingest_pb2.IngestRequest]:
        for number in numbers:
            item = ingest_pb2.Item(uri=f"image-{number}", image=gallery.image(number))
            yield ingest_pb2.IngestRequest(collection=_COLLECTION, item=item)

    added = sum(answer.status == ingest_pb2.INGEST_STATUS_ADDED for answer in stub.Ingest(requests()))
    assert added == len(numbers), "every image is new"
    return added / (time.perf_counter() - started_s)


def beyond_encoding_ms(channel: grpc.Channel, gallery: Gallery) -> float:
    """The median over queries of what the caller waits, less the encoding."""
    stub = search_pb2_grpc.SearchServiceStub(channel)
    waited_ms = []
    for number in range(_QUERIES):
        part = search_pb2.QueryPart(image=gallery.image(number))
        started_s = time.perf_counter()
        response = stub.Search(search_pb2.SearchRequest(collection=_COLLECTION, parts=[part]))
        waited_ms.append(1000 * (time.perf_counter() - started_s) - response.timings.encode_ms)
    return median(waited_ms)


def measure(run: dict[str, Any], gallery: Gallery, counts: list[int]) -> None:
    """Fills a collection step by step and asks it right after each step."""
    with grpc.insecure_channel(run["ingest"]) as ingest, grpc.insecure_channel(run["search"]) as search:
        collection = ingest_pb2.Collection(name=_COLLECTION, encoder="general")
        ingest_pb2_grpc.IngestServiceStub(ingest).CreateCollection(
            ingest_pb2.CreateCollectionRequest(collection=collection)
        )
        for start, end in zip([0, *counts], counts, strict=False):
            rate = fill_up(ingest, gallery, range(start, end))
            print(f"{end:6} images: {beyond_encoding_ms(search, gallery):5.1f} ms beyond encoding, {rate:.0f}/s in")


def main() -> None:
    """Reads the command line and measures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--counts", type=int, nargs="+", default=[5000, 20_000])
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="fovea-embedded-") as folder:
        gallery = Gallery(photos(_DIFFERENT, Path(folder) / "photos"))
        with system(Path(folder) / "data") as run:
            measure(run, gallery, arguments.counts)


if __name__ == "__main__":
    main()
