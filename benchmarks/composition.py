"""Do composed queries do what they say? Asked of drawn scenes, whose truth is known, through the RPCs of a Fovea.

    python -m benchmarks.composition [--scenes 300] [--queries 200]

Less of this: each query in words is asked with and without a negative part that names a place, a time or a weather; the mean rank
of the scenes that show it must become worse in 95 of 100 queries. Both of these: two objects of a scene that is not in the gallery
are asked for together and as alternatives; of the first ten scenes more must show both kinds where they are asked for together.
"""

import argparse
import io
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from domain.box import Box
from fovea.search.v1 import search_pb2
from rpc.messages import box_message
from training.serving import Query, Served, served
from world.scene import Scene, draw_scene

MINUS = 0.5
TOP = 10
UNWANTED = {
    "place": {"meadow": "a meadow", "street": "a street", "beach": "a beach", "lake": "a lake"},
    "time": {"night": "at night", "evening": "in the evening", "morning": "in the morning", "noon": "at noon"},
    "weather": {"rain": "in the rain", "snow": "in the snow", "fog": "in the fog"},
}
OBJECTS_ENCODER, DETECTOR = "general-2", "drawn-detector"


@dataclass(frozen=True, slots=True, kw_only=True)
class LessOf(Query):
    """Words, and with a negative weight words for what is not wanted."""

    unwanted: str

    def parts(self) -> list[search_pb2.QueryPart]:
        """The message's parts."""
        return [search_pb2.QueryPart(text=self.text), search_pb2.QueryPart(text=self.unwanted, weight=-MINUS)]


@dataclass(frozen=True, slots=True, kw_only=True)
class TwoObjects(Query):
    """Two regions of an image: together, or as alternatives."""

    regions: tuple[Box, Box]
    together: bool

    def parts(self) -> list[search_pb2.QueryPart]:
        """The message's parts."""
        match = search_pb2.REGION_MATCH_ALL if self.together else search_pb2.REGION_MATCH_ANY
        return [search_pb2.QueryPart(image=self.image, regions=map(box_message, self.regions), match=match)]


def encoded(scene: Scene) -> bytes:
    """The scene as a JPEG."""
    out = io.BytesIO()
    scene.image.save(out, "JPEG", quality=90)
    return out.getvalue()


def less_of_this(running: Served, gallery: Sequence[Scene], count: int) -> tuple[int, int]:
    """In how many queries of how many the unwanted scenes moved down."""
    rng, limit = np.random.default_rng(1), len(gallery)
    asked: list[tuple[str, str, set[str]]] = []
    while len(asked) < count:
        item = (scene := gallery[int(rng.integers(len(gallery)))]).objects[0]
        kind = str(rng.choice(list(UNWANTED)))
        value = str(scene.metadata()[kind])
        shown = {str(row) for row, each in enumerate(gallery) if each.metadata()[kind] == value}
        if value in UNWANTED[kind]:
            asked.append((f"a {item.colour} {item.label}", UNWANTED[kind][value], shown))
    plain = running.search("scenes", [Query(text=words) for words, _, _ in asked], limit=limit)
    less = running.search("scenes", [LessOf(text=words, unwanted=minus) for words, minus, _ in asked], limit=limit)
    ranks = [
        [np.mean([rank for rank, hit in enumerate(hits) if hit.uri in shown]) for hits in pair]
        for *pair, (_, _, shown) in zip(plain, less, asked, strict=True)
    ]
    return sum(bool(after > before) for before, after in ranks), len(ranks)


def both_of_these(running: Served, gallery: Sequence[Scene], count: int) -> tuple[float, float, int]:
    """P@10 for "has both kinds" of queries for two objects together, and as alternatives; and how many queries there were."""
    kinds = [{item.label for item in scene.objects} for scene in gallery]
    right: list[list[bool]] = []
    queries: list[tuple[bytes, tuple[Box, Box]]] = []
    number = 0
    while len(queries) < count:
        number += 1
        scene = draw_scene(np.random.default_rng([8, number]))
        for first, second in combinations(scene.objects, 2):
            shown = [{first.label, second.label} <= each for each in kinds]
            if first.label != second.label and TOP <= sum(shown) <= len(gallery) // 4:
                right.append(shown)
                queries.append((encoded(scene), (first.box, second.box)))
                break

    def precision(*, together: bool) -> float:
        asked = [TwoObjects(image=image, regions=boxes, together=together) for image, boxes in queries]
        found = running.search("objects", asked, limit=TOP)
        return float(np.mean([[shown[int(hit.uri)] for hit in hits] for hits, shown in zip(found, right, strict=True)]))

    return precision(together=True), precision(together=False), len(queries)


def main() -> None:
    """Draw, ingest and ask."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scenes", type=int, default=300)
    parser.add_argument("--queries", type=int, default=200)
    options = parser.parse_args()
    gallery = [draw_scene(np.random.default_rng([7, number])) for number in range(options.scenes)]
    images = [(str(row), encoded(scene)) for row, scene in enumerate(gallery)]
    with served() as running:
        running.fill("scenes", images, encoder="scene")
        down, asked = less_of_this(running, gallery, options.queries)
        print(f"a negative part moves what is not wanted down in {down} of {asked} queries ({down / asked:.3f})")
        running.fill("objects", images, encoder=OBJECTS_ENCODER, detector=DETECTOR)
        together, alternatives, asked = both_of_these(running, gallery, options.queries // 2)
        print(f"P@{TOP} for both kinds, {asked} queries: together {together:.3f}, as alternatives {alternatives:.3f}")


if __name__ == "__main__":
    main()
