"""Car search (CompCars): a road camera's photo of a car in, photos of that model out.

    python -m training.cars draw train export evaluate

`draw` writes the drawn world in the layout of CompCars to --data. The other steps read that layout and nothing else;
for the published set leave `draw` out:

    python -m training.cars train export evaluate --config training/configs/cars_published.toml
        --data DIR/CompCars --run data/training/cars_published --out data/models
"""

from dataclasses import asdict

import torch

from training.cars import evaluate as evaluation
from training.cars.config import CarsConfig
from training.cars.export import NAME, export
from training.cars.photos import load_test_photos, load_training_photos
from training.cars.task import CarsTask
from training.command import Options, run_steps
from training.config import read_config
from training.loop import fit
from training.serving import served


def _draw(options: Options) -> None:
    evaluation.draw(options.data, _config(options).world)


def _train(options: Options) -> None:
    config = _config(options)
    photos = load_training_photos(
        options.data,
        config.protocol,
        with_types=config.loss.type > 0,
        allow_incomplete=options.allow_incomplete,
    )
    print(f"{len(photos.web):,} photos of the web and {len(photos.road):,} of road cameras")
    torch.manual_seed(config.seed)
    task = CarsTask(config, photos, options.run).to(options.device)
    fit(task, config.optimiser, options.run, config=asdict(config), seed=config.seed)


def _export(options: Options) -> None:
    protocol = _config(options).protocol
    photos = load_test_photos(options.data, protocol, allow_incomplete=options.allow_incomplete)
    bundle = export(options.run, photos, options.out)
    print(f"{bundle.folder}: {dict(bundle.gate)}")


def _evaluate(options: Options) -> None:
    protocol, faulty = _config(options).protocol, options.allow_incomplete
    offline = evaluation.offline(options.out, options.data, protocol, allow_incomplete=faulty)
    print(f"offline: {_shown(offline)}")
    with served(options.out / NAME) as running:
        online = evaluation.online(running, options.data, protocol, allow_incomplete=faulty)
        print(f"online: {_shown(online)}")
        evaluation.sheet(running, options.data, options.run / "sheet.jpg", protocol, allow_incomplete=faulty)


def _config(options: Options) -> CarsConfig:
    return read_config(options.config, CarsConfig)


def _shown(figures: dict[str, float]) -> str:
    return ", ".join(f"{name} {share:.4f}" for name, share in figures.items())


if __name__ == "__main__":
    run_steps(
        __doc__,
        {"draw": _draw, "train": _train, "export": _export, "evaluate": _evaluate},
        config="cars.toml",
        data="cars",
        run="cars",
    )
