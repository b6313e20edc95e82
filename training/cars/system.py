"""Owns what car search brings to the runner."""

from pathlib import Path

from encoders.bundle import Bundle
from training.cars.config import CarsConfig
from training.cars.draw import HELD_OUT, draw
from training.cars.evaluate import CarsEvaluation
from training.cars.export import NAME, export, regate
from training.cars.photos import load_test_photos, load_training_photos
from training.cars.task import CarsTask
from training.runner import Options, System


class CarsSystem(System[CarsConfig]):
    """CompCars, its network with two poolings, and the bundle of an encoder."""

    name = "cars"
    config = CarsConfig
    bundles = (NAME,)

    def draw(self, config: CarsConfig, options: Options) -> None:
        draw(options.data, config.world)

    def draw_held_out(self, config: CarsConfig, data: Path, realdata: Path) -> None:
        if not (data / "data").exists():
            draw(data, HELD_OUT)

    def task(self, config: CarsConfig, options: Options) -> CarsTask:
        photos = load_training_photos(
            options.data, config.protocol, with_types=config.loss.type > 0, allow_incomplete=options.allow_incomplete
        )
        print(f"{len(photos.web):,} photos of the web and {len(photos.road):,} of road cameras")
        return CarsTask(config, photos, options.run)

    def export(self, config: CarsConfig, options: Options) -> tuple[Bundle, ...]:
        photos = load_test_photos(options.data, config.protocol, allow_incomplete=options.allow_incomplete)
        return (export(options.run, photos, options.out),)

    def regate(self, config: CarsConfig, options: Options) -> tuple[Bundle, ...]:
        photos = load_test_photos(options.data, config.protocol, allow_incomplete=options.allow_incomplete)
        return (regate(options.out, photos),)

    def evaluation(self, config: CarsConfig, data: Path, *, allow_incomplete: bool = False) -> CarsEvaluation:
        return CarsEvaluation(load_test_photos(data, config.protocol, allow_incomplete=allow_incomplete))
