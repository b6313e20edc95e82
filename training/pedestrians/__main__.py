"""Pedestrian search (DCMPL): a sentence in, pictures of that person out.

    python -m training.pedestrians draw train export evaluate

`draw` writes the drawn world in the layout of CUHK-PEDES to --data. The other steps read that layout and nothing else;
for the published set leave `draw` out:

    python -m training.pedestrians train export evaluate --config training/configs/pedestrians_published.toml
        --data DIR/CUHK-PEDES --run data/training/pedestrians_published --out data/models
"""

from dataclasses import asdict

import torch

from training.command import Options, run_steps
from training.config import read_config
from training.datasets.pedestrians import Pedestrians
from training.loop import fit
from training.pedestrians import evaluate as evaluation
from training.pedestrians.config import PedestriansConfig
from training.pedestrians.dataset import load_people
from training.pedestrians.drawing import draw_all
from training.pedestrians.export import IMAGE, TEXT, export
from training.pedestrians.task import PedestriansTask
from training.serving import served

NAME = "pedestrians"


def _draw(options: Options) -> None:
    draw_all(options.data, _config(options).world)


def _train(options: Options) -> None:
    config = _config(options)
    torch.manual_seed(config.seed)
    task = PedestriansTask(config, _people(options, decode=True), options.run).to(options.device)
    fit(task, config.optimiser, options.run, config=asdict(config), seed=config.seed)


def _export(options: Options) -> None:
    for bundle in export(options.run, _people(options), options.out):
        print(f"{bundle.folder}: {dict(bundle.gate)}")


def _evaluate(options: Options) -> None:
    faulty = options.allow_incomplete
    print(f"offline: {_shown(evaluation.offline(options.out, options.data, allow_incomplete=faulty))}")
    with served(options.out / IMAGE, options.out / TEXT) as running:
        print(f"online: {_shown(evaluation.online(running, options.data, allow_incomplete=faulty))}")
        evaluation.sheet(running, options.data, options.run / "sheet.jpg", allow_incomplete=faulty)


def _config(options: Options) -> PedestriansConfig:
    return read_config(options.config, PedestriansConfig)


def _people(options: Options, *, decode: bool = False) -> Pedestrians:
    people = load_people(options.data, decode=decode, allow_incomplete=options.allow_incomplete)
    print(people.report.summary())
    return people


def _shown(figures: dict[str, float]) -> str:
    return ", ".join(f"{name} {share:.4f}" for name, share in figures.items())


if __name__ == "__main__":
    run_steps(
        __doc__,
        {"draw": _draw, "train": _train, "export": _export, "evaluate": _evaluate},
        config="pedestrians.toml",
        data=NAME,
        run=NAME,
    )
