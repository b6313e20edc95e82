"""The queries of the demo: each with what a right answer is, in words and as a test of the names of the hits."""

import io
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from cli.demo_albums import Album, DemoAlbums
from domain.box import Box
from fovea.search.v1 import search_pb2

PHOTOS, PHOTO_OBJECTS = "demo_photos", "demo_photo_objects"
SCENES, SCENE_OBJECTS = "demo_scenes", "demo_scene_objects"
_LIMIT = 3
# The scene that is searched for by words and a sketch.
_DESCRIBED = 9


@dataclass(frozen=True, slots=True)
class DemoQuery:
    """A query, and what a right answer is, in words and as a test of the names of the hits."""

    title: str
    request: search_pb2.SearchRequest
    expected: str
    accepts: Callable[[list[str]], bool]


def demo_queries(albums: DemoAlbums) -> list[DemoQuery]:
    """Photos first, then drawn scenes."""
    return [*_photo_queries(albums.photos), *_scene_queries(albums.scenes)]


def _photo_queries(photos: Album) -> list[DemoQuery]:
    """In words, by a drawing, by both, by likeness, by objects, with a filter, and between two photos."""
    drawn = search_pb2.QueryPart(sketch=(photos.folder / "sketches" / "t-shirt.png").read_bytes())
    carrots, bananas, tomatoes = (photos.folder / name for name in ("carrot-2.jpg", "banana-2.jpg", "tomato-2.jpg"))
    mixed = photos.folder / "orange-1.jpg", photos.folder / "owl.jpg"
    return [
        DemoQuery(
            "In words: “a red dress”",
            _request(PHOTOS, search_pb2.QueryPart(text="a red dress")),
            *_comes_first("dress-3.jpg"),
        ),
        DemoQuery(
            "By a drawing: sketches/t-shirt.png",
            _request(PHOTOS, drawn),
            "photos of T-shirts come first",
            lambda names: set(names[:2]) == photos.showing(kind="t-shirt"),
        ),
        DemoQuery(
            "By a drawing and words: the same, and “yellow”",
            _request(PHOTOS, drawn, search_pb2.QueryPart(text="yellow")),
            *_comes_first("t-shirt-1.jpg"),
        ),
        DemoQuery(
            f"By likeness: photos like {carrots.name}, which is not among them",
            _request(PHOTOS, _photo(carrots)),
            "another photo of carrots comes first",
            lambda names: names[:1] == ["carrot-1.jpg"],
        ),
        DemoQuery(
            f"By objects: every object that is found in {bananas.name}",
            _request(PHOTO_OBJECTS, search_pb2.QueryPart(image=bananas.read_bytes(), detect=True)),
            "another photo of bananas comes first",
            lambda names: names[:1] == ["banana-1.jpg"],
        ),
        DemoQuery(
            f"With a filter: clothes in the colours of {tomatoes.name}",
            _request(PHOTOS, _photo(tomatoes), where='from = "clothes"'),
            "all of them are clothes",
            lambda names: len(names) == _LIMIT and photos.showing(**{"from": "clothes"}).issuperset(names),
        ),
        DemoQuery(
            f"Mixed: between {mixed[0].name} and {mixed[1].name}",
            _request(PHOTOS, *map(_photo, mixed)),
            "both are among the first three",
            lambda names: {file.name for file in mixed} <= set(names),
        ),
    ]


def _scene_queries(scenes: Album) -> list[DemoQuery]:
    """By an object of a known box, and by words and a sketch."""
    described = scenes.about[_DESCRIBED]
    owner, largest = _largest_object(scenes)
    return [
        DemoQuery(
            f"In drawn scenes, by object: the {largest['label']} cut out of {owner.name}",
            _request(SCENE_OBJECTS, _cut_out(owner, largest["box"])),
            *_comes_first(owner.name),
        ),
        DemoQuery(
            f"In drawn scenes, by words and a sketch: “{described['sentence']}” and {described['sketch']}",
            _request(
                SCENES,
                search_pb2.QueryPart(text=described["sentence"]),
                search_pb2.QueryPart(sketch=(scenes.folder / described["sketch"]).read_bytes()),
            ),
            *_comes_first(described["file"]),
        ),
    ]


def _comes_first(name: str) -> tuple[str, Callable[[list[str]], bool]]:
    return f"{name} comes first", lambda names: names[:1] == [name]


def _largest_object(scenes: Album) -> tuple[Path, Mapping[str, Any]]:
    def area(found: tuple[Path, Mapping[str, Any]]) -> float:
        x_min, y_min, x_max, y_max = found[1]["box"]
        return float((x_max - x_min) * (y_max - y_min))

    entries = zip(scenes.files, scenes.ingested, strict=True)
    return max(((file, item) for file, entry in entries for item in entry["objects"]), key=area)


def _request(collection: str, *parts: search_pb2.QueryPart, where: str = "") -> search_pb2.SearchRequest:
    return search_pb2.SearchRequest(collection=collection, parts=parts, limit=_LIMIT, filter=where)


def _photo(file: Path) -> search_pb2.QueryPart:
    return search_pb2.QueryPart(image=file.read_bytes())


def _cut_out(file: Path, box: Box) -> search_pb2.QueryPart:
    x_min, y_min, x_max, y_max = box
    with Image.open(file) as image, io.BytesIO() as buffer:
        width, height = image.size
        cut = image.crop((round(x_min * width), round(y_min * height), round(x_max * width), round(y_max * height)))
        cut.save(buffer, "JPEG", quality=80)
        return search_pb2.QueryPart(image=buffer.getvalue())
