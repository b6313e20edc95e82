"""Owns what object search brings to the runner."""

from collections.abc import Callable, Mapping
from pathlib import Path

from encoders.bundle import Bundle
from training.datasets.annotated import AnnotatedImage, AnnotatedImages
from training.objects.config import ObjectsConfig
from training.objects.detector import CFG, build_detector
from training.objects.draw import draw_dataset, draw_held_out
from training.objects.evaluate import ENCODER, ObjectsEvaluation
from training.objects.export import BUNDLE, export, photos_of_nothing, regate, write_weights
from training.objects.images import load_split
from training.objects.start import load_start
from training.objects.task import ObjectsTask
from training.runner import Options, System


class ObjectsSystem(System[ObjectsConfig]):
    """PASCAL VOC or COCO, a network of the YOLO family, and the bundle of a detector."""

    name = "objects"
    config = ObjectsConfig
    bundles = (BUNDLE,)

    def steps(self) -> Mapping[str, Callable[[ObjectsConfig, Options], None]]:
        return {**super().steps(), "weights": self.write_weights}

    def draw(self, config: ObjectsConfig, options: Options) -> None:
        draw_dataset(config, options.data, options.realdata)

    def draw_held_out(self, config: ObjectsConfig, data: Path, realdata: Path) -> None:
        # The list of the queries is what is drawn last.
        if not (data / "ImageSets" / "Main" / f"{config.data.queries}.txt").exists():
            draw_held_out(config, data)

    def task(self, config: ObjectsConfig, options: Options) -> ObjectsTask:
        train, validation = (
            _split(options, config, name, decode=True) for name in (config.data.train, config.data.validation)
        )
        detector = build_detector(config, options.run)
        if options.start is not None:
            load_start(detector, options.start, cutoff=config.network.cutoff)
        return ObjectsTask(config, detector, train=train, validation=validation, run=options.run)

    def export(self, config: ObjectsConfig, options: Options) -> tuple[Bundle, ...]:
        empty = photos_of_nothing(options.realdata, config.data)
        # Both splits that training does not learn from.
        held_out = _images(options, config, config.data.validation, config.data.queries)
        return (export(options.run, held_out, empty, options.out),)

    def regate(self, config: ObjectsConfig, options: Options) -> tuple[Bundle, ...]:
        empty = photos_of_nothing(options.realdata, config.data)
        held_out = _images(options, config, config.data.gallery, config.data.queries)
        return (regate(options.out / BUNDLE, held_out, empty, config.data),)

    def evaluation(self, config: ObjectsConfig, data: Path, *, allow_incomplete: bool = False) -> ObjectsEvaluation:
        return ObjectsEvaluation.read(config.data, data, allow_incomplete=allow_incomplete)

    def served_bundles(self, out: Path) -> list[Path]:
        return [*super().served_bundles(out), ENCODER]

    def write_weights(self, config: ObjectsConfig, options: Options) -> None:
        """Write a network of Darknet's as Darknet reads it."""
        write_weights(options.run, lambda run: len(_split(options, run, run.data.train).images))
        print(f"{options.run / CFG} and network.weights")


def _split(options: Options, config: ObjectsConfig, name: str, *, decode: bool = False) -> AnnotatedImages:
    allow_incomplete = options.allow_incomplete
    images = load_split(config.data, options.data, name, decode=decode, allow_incomplete=allow_incomplete)
    print(images.report.summary())
    return images


def _images(options: Options, config: ObjectsConfig, *splits: str) -> list[AnnotatedImage]:
    """The images of splits, each once."""
    return [image for name in dict.fromkeys(splits) for image in _split(options, config, name).images]
