"""Writes a folder of drawn scenes with their truth, a sentence and a sketch: the images that `fovea demo` shows.

python -m world.gallery --out DIR [--count 60] [--seed 7]
"""

import argparse
import json
from pathlib import Path

import numpy as np

from world.scene import Scene, draw_scene
from world.sentence import write_sentences
from world.sketch import draw_sketch

SKETCHES = "sketches"


def write_gallery(folder: Path, *, count: int, seed: int) -> None:
    """Write `count` JPEGs, as many sketches, and `gallery.jsonl`, a line for each.

    Image n is the same whatever `count` is.
    """
    (folder / SKETCHES).mkdir(parents=True, exist_ok=True)
    lines = []
    for number in range(count):
        rng = np.random.default_rng([seed, number])
        scene = draw_scene(rng)
        file = f"{_name(scene)}-{number:03}.jpg"
        scene.image.save(folder / file, quality=90)
        (sentence,) = write_sentences(scene, rng, count=1)
        sketch = f"{SKETCHES}/{Path(file).stem}.png"
        draw_sketch(scene, rng).save(folder / sketch)
        lines.append(json.dumps(_describe(file, scene) | {"sentence": sentence, "sketch": sketch}))
    (folder / "gallery.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")


def _name(scene: Scene) -> str:
    assert scene.setting is not None
    return f"{scene.setting.location}-{scene.setting.time}"


def _describe(file: str, scene: Scene) -> dict[str, object]:
    objects = [{"label": item.label, "box": [round(edge, 5) for edge in item.box]} for item in scene.objects]
    return {"file": file, "metadata": scene.metadata(), "objects": objects}


def main() -> None:
    """Write the gallery that the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--count", type=int, default=60)
    parser.add_argument("--seed", type=int, default=7)
    options = parser.parse_args()
    write_gallery(options.out, count=options.count, seed=options.seed)


if __name__ == "__main__":
    main()
