"""Owns what search by sentence and sketch brings to the runner."""

from dataclasses import asdict
from pathlib import Path

from encoders.bundle import Bundle
from training.datasets.coco_karpathy import LIST, CaptionedPhotos, load_coco_karpathy
from training.runner import Options, System
from training.text_sketch.config import TextSketchConfig
from training.text_sketch.evaluate import TextSketchEvaluation
from training.text_sketch.export import IMAGE, TEXT, export, regate
from training.text_sketch.start import load_start, words_of_start
from training.text_sketch.task import TextSketchTask
from world.coco_karpathy import draw_test_split, write_coco_karpathy


class TextSketchSystem(System[TextSketchConfig]):
    """COCO with sketches, TASK-former, and a bundle for photos and sketches beside one for sentences."""

    name = "text_sketch"
    config = TextSketchConfig
    bundles = (IMAGE, TEXT)

    def draw(self, config: TextSketchConfig, options: Options) -> None:
        write_coco_karpathy(options.data, asdict(config.world))

    def draw_held_out(self, config: TextSketchConfig, data: Path, realdata: Path) -> None:
        if not (data / LIST).exists():
            draw_test_split(data)

    def task(self, config: TextSketchConfig, options: Options) -> TextSketchTask:
        words = None if options.start is None else words_of_start(options.start)
        task = TextSketchTask(config, _photos(options, decode=True), options.run, words=words)
        if options.start is not None:
            load_start(task.network, options.start)
        return task

    def export(self, config: TextSketchConfig, options: Options) -> tuple[Bundle, ...]:
        return export(options.run, _photos(options), options.out)

    def regate(self, config: TextSketchConfig, options: Options) -> tuple[Bundle, ...]:
        photos = load_coco_karpathy(
            options.data, decode=options.allow_incomplete, allow_incomplete=options.allow_incomplete
        )
        return regate(options.out, photos.of("test"))

    def evaluation(
        self, config: TextSketchConfig, data: Path, *, allow_incomplete: bool = False
    ) -> TextSketchEvaluation:
        photos = load_coco_karpathy(data, decode=allow_incomplete, allow_incomplete=allow_incomplete)
        return TextSketchEvaluation(photos.of("test"))


def _photos(options: Options, *, decode: bool = False) -> CaptionedPhotos:
    photos = load_coco_karpathy(
        options.data,
        sketch_splits=("train", "val", "test"),
        decode=decode or options.allow_incomplete,
        allow_incomplete=options.allow_incomplete,
    )
    print(photos.report.summary())
    return photos
