"""Owns what pedestrian search brings to the runner."""

from pathlib import Path

from encoders.bundle import Bundle
from training.datasets.pedestrians import LISTS, PUBLISHED_IDS, Pedestrians, load_pedestrians
from training.pedestrians.config import PedestriansConfig
from training.pedestrians.draw import draw_all, draw_test_split
from training.pedestrians.evaluate import PedestriansEvaluation
from training.pedestrians.export import IMAGE, TEXT, export, regate
from training.pedestrians.task import PedestriansTask
from training.runner import Options, System


class PedestriansSystem(System[PedestriansConfig]):
    """CUHK-PEDES, DCMPL, and a bundle for images beside one for sentences."""

    name = "pedestrians"
    config = PedestriansConfig
    bundles = (IMAGE, TEXT)

    def draw(self, config: PedestriansConfig, options: Options) -> None:
        draw_all(options.data, config.world)

    def draw_held_out(self, config: PedestriansConfig, data: Path, realdata: Path) -> None:
        if not any((data / name).exists() for name in LISTS):
            draw_test_split(data)

    def task(self, config: PedestriansConfig, options: Options) -> PedestriansTask:
        return PedestriansTask(config, _people(options, decode=True), options.run)

    def export(self, config: PedestriansConfig, options: Options) -> tuple[Bundle, ...]:
        return export(options.run, _people(options), options.out)

    def regate(self, config: PedestriansConfig, options: Options) -> tuple[Bundle, ...]:
        return regate(options.out, _people(options))

    def evaluation(
        self, config: PedestriansConfig, data: Path, *, allow_incomplete: bool = False
    ) -> PedestriansEvaluation:
        return PedestriansEvaluation(load_people(data, allow_incomplete=allow_incomplete))


def load_people(data: Path, *, decode: bool = False, allow_incomplete: bool = False) -> Pedestrians:
    """Read CUHK-PEDES with its published splits, where its list names none.

    With `decode`, or to leave out what is broken, every image is decoded once.
    """
    return load_pedestrians(
        data, id_splits=PUBLISHED_IDS, decode=decode or allow_incomplete, allow_incomplete=allow_incomplete
    )


def _people(options: Options, *, decode: bool = False) -> Pedestrians:
    people = load_people(options.data, decode=decode, allow_incomplete=options.allow_incomplete)
    print(people.report.summary())
    return people
