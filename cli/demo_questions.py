"""What `fovea demo` asks about its gallery, and how it knows the right answers."""

import io
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

from PIL import Image

from domain.box import Box
from fovea.search.v1 import search_pb2

_LIMIT = 3
_SIDECAR = "gallery.jsonl"
# The picture of the gallery that is asked for by words and a sketch.
_DESCRIBED = 9

_Answer: TypeAlias = search_pb2.SearchResponse


@dataclass(frozen=True, slots=True)
class Gallery:
    """Drawn pictures and their truth, line by line as they were written: file, metadata, objects, sentence, sketch."""

    folder: Path
    truth: Sequence[Mapping[str, Any]]

    collection = "demo"
    object_collection = "demo_objects"
    scene_collection = "demo_scenes"

    @property
    def files(self) -> list[Path]:
        """The pictures, in their order."""
        return [self.folder / entry["file"] for entry in self.truth]

    @property
    def sidecar(self) -> Path:
        """The file that describes them."""
        return self.folder / _SIDECAR


@dataclass(frozen=True, slots=True)
class Question:
    """A query, what a right answer is, in words and as a test."""

    title: str
    expected: str
    request: search_pb2.SearchRequest
    is_right: Callable[[_Answer], bool]


def read_gallery(folder: Path) -> Gallery:
    """The gallery that was drawn into a folder."""
    lines = (folder / _SIDECAR).read_text().splitlines()
    return Gallery(folder.resolve(), [json.loads(line) for line in lines])


def questions(gallery: Gallery) -> list[Question]:
    """By picture, by object, with a filter, mixed of two pictures, and by words and a sketch."""
    return [
        _by_picture(gallery),
        _by_object(gallery),
        _with_filter(gallery),
        _mixed(gallery),
        _by_words_and_sketch(gallery),
    ]


def _by_picture(gallery: Gallery) -> Question:
    wanted = gallery.files[2]
    return Question(
        title=f"By picture: a small, blurred copy of {wanted.name}",
        expected=f"{wanted.name} comes first",
        request=_request(gallery.collection, [_part(_small_copy(wanted))]),
        is_right=lambda answer: _names(answer)[:1] == [wanted.name],
    )


def _by_object(gallery: Gallery) -> Question:
    number, found = max(
        ((number, item) for number, entry in enumerate(gallery.truth) for item in entry["objects"]),
        key=lambda pair: _area(pair[1]["box"]),
    )
    wanted = gallery.files[number]
    return Question(
        title=f"By object: the {found['label']} cut out of {wanted.name}",
        expected=f"{wanted.name} comes first",
        request=_request(gallery.object_collection, [_part(_cut(wanted, found["box"]))]),
        is_right=lambda answer: _names(answer)[:1] == [wanted.name],
    )


def _with_filter(gallery: Gallery) -> Question:
    asked = gallery.files[2]
    nights = {entry["file"] for entry in gallery.truth if entry["metadata"]["time"] == "night"}
    return Question(
        title=f"With a filter: like {asked.name}, but at night",
        expected="all pictures are of the night",
        request=_request(gallery.collection, [_part(asked.read_bytes())], where='time = "night"'),
        is_right=lambda answer: len(answer.hits) == _LIMIT and nights.issuperset(_names(answer)),
    )


def _mixed(gallery: Gallery) -> Question:
    one, other = gallery.files[0], gallery.files[4]
    return Question(
        title=f"Mixed: between {one.name} and {other.name}",
        expected="both are among the first three",
        request=_request(gallery.collection, [_part(_small_copy(one)), _part(_small_copy(other))]),
        is_right=lambda answer: {one.name, other.name} <= set(_names(answer)),
    )


def _by_words_and_sketch(gallery: Gallery) -> Question:
    asked = gallery.truth[_DESCRIBED]
    sketch = search_pb2.QueryPart(sketch=(gallery.folder / asked["sketch"]).read_bytes())
    return Question(
        title=f"By words and a sketch: “{asked['sentence']}” and {asked['sketch']}",
        expected=f"{asked['file']} comes first",
        request=_request(gallery.scene_collection, [search_pb2.QueryPart(text=asked["sentence"]), sketch]),
        is_right=lambda answer: _names(answer)[:1] == [asked["file"]],
    )


def _request(collection: str, parts: Sequence[search_pb2.QueryPart], where: str = "") -> search_pb2.SearchRequest:
    return search_pb2.SearchRequest(collection=collection, parts=parts, limit=_LIMIT, filter=where)


def _part(picture: bytes) -> search_pb2.QueryPart:
    return search_pb2.QueryPart(image=picture)


def _names(answer: _Answer) -> list[str]:
    return [Path(hit.uri).name for hit in answer.hits]


def _small_copy(file: Path) -> bytes:
    with Image.open(file) as picture:
        return _encoded(picture.reduce(3))


def _cut(file: Path, box: Box) -> bytes:
    with Image.open(file) as picture:
        x_min, y_min, x_max, y_max = box
        width, height = picture.size
        return _encoded(
            picture.crop((round(x_min * width), round(y_min * height), round(x_max * width), round(y_max * height)))
        )


def _encoded(picture: Image.Image) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=80)
    return buffer.getvalue()


def _area(box: Box) -> float:
    return (box[2] - box[0]) * (box[3] - box[1])
