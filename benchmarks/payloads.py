"""What ghz sends: for each kind of call the requests, as length-prefixed messages, which it sends in turn.

python -m benchmarks.payloads RUN.json FOLDER [--collection NAME] [--images 50]

The collection is created and filled where it is not there. Images are the photos of benchmarks/photos.py.
"""

import argparse
import base64
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import grpc
from google.protobuf.message import Message
from google.protobuf.proto import serialize_length_prefixed
from PIL import Image, ImageDraw

from benchmarks.photos import photos
from fovea.detector.v1 import detector_pb2
from fovea.encoder.v1 import encoder_pb2, encoder_pb2_grpc
from fovea.ingest.v1 import ingest_pb2, ingest_pb2_grpc
from fovea.oip.v2 import open_inference_pb2 as oip
from fovea.search.v1 import search_pb2
from fovea.types.v1 import types_pb2

COLLECTION = "load"
ENCODER, TEXT_ENCODER, DETECTOR = "general", "general-text", "detector"
_TEXTS = ("a bottle of juice", "a red apple", "milk", "a green box", "vegetables on a shelf", "a person in the street")
_REGION = types_pb2.Box(x_min=0.2, y_min=0.2, x_max=0.8, y_max=0.8)
_BATCH = 8
_COLOURS = ("red", "green", "blue")


def write_payloads(run: Mapping[str, Any], folder: Path, images: Sequence[bytes], collection: str = COLLECTION) -> None:
    """Fills the collection where it is new, and writes a file for each kind."""
    ids = _filled(run["ingest"], collection, images)
    for kind, requests in _requests(collection, images, _embeddings(run, images), ids).items():
        messages = io.BytesIO()
        for request in requests:
            serialize_length_prefixed(request, messages)
        (folder / f"{kind}.bin").write_bytes(messages.getvalue())
    # A template: each call of ghz is a stream that adds an image of its own.
    item = {"uri": "load/{{newUUID}}", "image": base64.b64encode(images[0]).decode()}
    (folder / "ingest.json").write_text(json.dumps([{"collection": collection, "item": item}]))


def _filled(target: str, collection: str, images: Sequence[bytes]) -> list[str]:
    """The ids of the images of the collection, which has at least these."""
    with grpc.insecure_channel(target) as channel:
        stub = ingest_pb2_grpc.IngestServiceStub(channel)
        definition = ingest_pb2.Collection(name=collection, encoder=ENCODER)
        try:
            stub.CreateCollection(ingest_pb2.CreateCollectionRequest(collection=definition))
        except grpc.RpcError as error:
            if error.code() is not grpc.StatusCode.ALREADY_EXISTS:
                raise
        return [response.image_id for response in stub.Ingest(_items(collection, images))]


def _items(collection: str, images: Sequence[bytes]) -> Iterator[ingest_pb2.IngestRequest]:
    for number, image in enumerate(images):
        item = ingest_pb2.Item(uri=f"photo-{number}", image=image)
        item.metadata.update({"colour": _COLOURS[number % len(_COLOURS)], "number": number})
        yield ingest_pb2.IngestRequest(collection=collection, item=item)


def _embeddings(run: Mapping[str, Any], images: Sequence[bytes]) -> list[bytes]:
    with grpc.insecure_channel(run["encoders"][ENCODER]) as channel:
        stub = encoder_pb2_grpc.EncoderServiceStub(channel)
        inputs = [encoder_pb2.Input(image=image) for image in images]
        response = stub.Encode(encoder_pb2.EncodeRequest(encoder=ENCODER, inputs=inputs))
    return [result.embedding for result in response.results]


def _requests(
    collection: str, images: Sequence[bytes], embeddings: Sequence[bytes], ids: Sequence[str]
) -> dict[str, list[Message]]:
    def search(*parts: search_pb2.QueryPart, **options: Any) -> search_pb2.SearchRequest:
        return search_pb2.SearchRequest(collection=collection, parts=parts, limit=10, **options)

    part = search_pb2.QueryPart
    near = [part(embedding=embedding) for embedding in embeddings]
    batches = [images[start : start + _BATCH] for start in range(0, len(images), _BATCH)]
    return {
        "search-image": [search(part(image=image)) for image in images],
        "search-text": [search(part(text=text)) for text in _TEXTS],
        "search-sketch": [search(part(sketch=_sketch(number))) for number in range(8)],
        "search-region": [search(part(image=image, region=_REGION)) for image in images],
        "search-parts": [
            search(part(image=image), part(text=text)) for image, text in zip(images, _TEXTS, strict=False)
        ],
        "search-embedding": [search(each) for each in near],
        "search-image-id": [search(part(image_id=image_id)) for image_id in ids],
        "search-filter": [search(each, filter='colour = "red" and number < 40') for each in near],
        "search-facets": [search(each, facets=["colour"]) for each in near],
        "batch-search": [
            search_pb2.BatchSearchRequest(
                collection=collection, queries=[search_pb2.SearchRequest(parts=[each], limit=10) for each in near[:8]]
            )
        ],
        "count-facets": [search_pb2.CountFacetsRequest(collection=collection, fields=["colour"])],
        "encode-image": [_encode(encoder_pb2.Input(image=image)) for image in images],
        "encode-text": [_encode(encoder_pb2.Input(text=text), encoder=TEXT_ENCODER) for text in _TEXTS],
        "encode-images": [_encode(*(encoder_pb2.Input(image=image) for image in batch)) for batch in batches],
        "describe": [encoder_pb2.DescribeRequest()],
        "model-infer": [_infer(image) for image in images],
        "detect": [detector_pb2.DetectRequest(detector=DETECTOR, image=image) for image in images],
        "get-image": [ingest_pb2.GetImageRequest(collection=collection, image_id=image_id) for image_id in ids],
        "list-images": [ingest_pb2.ListImagesRequest(collection=collection)],
        "list-collections": [ingest_pb2.ListCollectionsRequest()],
    }


def _encode(*inputs: encoder_pb2.Input, encoder: str = ENCODER) -> encoder_pb2.EncodeRequest:
    return encoder_pb2.EncodeRequest(encoder=encoder, inputs=inputs)


def _infer(image: bytes) -> oip.ModelInferRequest:
    tensor = oip.ModelInferRequest.InferInputTensor(
        name="image", datatype="BYTES", shape=[1], contents=oip.InferTensorContents(bytes_contents=[image])
    )
    return oip.ModelInferRequest(model_name=ENCODER, inputs=[tensor])


def _sketch(number: int) -> bytes:
    """A drawing of a bottle, wider with each number."""
    drawing = Image.new("L", (256, 256), 255)
    pen, half = ImageDraw.Draw(drawing), 20 + 6 * number
    pen.rectangle((128 - half, 90, 128 + half, 230), outline=0, width=4)
    pen.rectangle((118, 30, 138, 90), outline=0, width=4)
    encoded = io.BytesIO()
    drawing.save(encoded, "PNG")
    return encoded.getvalue()


def main() -> None:
    """Reads the command line and writes the files."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="the run.json of a running system")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--collection", default=COLLECTION)
    parser.add_argument("--images", type=int, default=50)
    arguments = parser.parse_args()
    arguments.folder.mkdir(parents=True, exist_ok=True)
    files = photos(arguments.images, arguments.folder / "photos")
    images = [file.read_bytes() for file in files]
    write_payloads(json.loads(arguments.run.read_text()), arguments.folder, images, arguments.collection)


if __name__ == "__main__":
    main()
