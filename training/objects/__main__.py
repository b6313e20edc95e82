"""Object search: the detector that finds what is searched for; pictures in, boxes of their objects out.

    python -m training.objects draw train export evaluate

`draw` writes the drawn world in the layout that the config names to --data. The other steps read that layout and
nothing else; for the published set leave `draw` out:

    python -m training.objects train export evaluate --config training/configs/objects_published.toml
        --data DIR/VOCdevkit/VOC2012 --start DIR/darknet53.conv.74 --run data/training/objects_published --out data/models

`evaluate` serves the bundle beside `general`, which embeds the objects. `weights` writes a network of Darknet's as
Darknet reads it; `regate` makes the smaller precisions of a bundle whose checkpoint is gone. `--start` names weights to
begin with: another run's checkpoint.pt, or Darknet's.
"""

from dataclasses import asdict
from pathlib import Path

import torch

from training.checkpoints.darknet import save_darknet
from training.command import Options, run_steps
from training.config import read_config
from training.datasets.annotated import AnnotatedPicture, AnnotatedPictures
from training.loop import fit
from training.models.yolo import YoloNetwork
from training.objects import evaluate as evaluation
from training.objects.config import ObjectsConfig
from training.objects.dataset import load_split
from training.objects.detector import CFG, build_detector, load_start, trained_detector
from training.objects.draw import draw_dataset
from training.objects.export import BUNDLE, export, regate
from training.objects.task import ObjectsTask
from training.photos import grocery_photos
from training.serving import served
from training.world.kinds import LABELS

NAME = "objects"


def _draw(options: Options) -> None:
    draw_dataset(_config(options), options.data, options.realdata)


def _train(options: Options) -> None:
    config = _config(options)
    train, validation = (
        _split(options, config, name, decode=True) for name in (config.data.train, config.data.validation)
    )
    torch.manual_seed(config.seed)
    detector = build_detector(config, options.run)
    if options.start is not None:
        load_start(detector, options.start, cutoff=config.network.cutoff)
    task = ObjectsTask(config, detector, train=train, validation=validation, run=options.run).to(options.device)
    fit(task, config.optimiser, options.run, config=asdict(config), seed=config.seed)


def _export(options: Options) -> None:
    config = _config(options)
    bundle = export(options.run, _held_out(options, config), _photos_of_nothing(options, config), options.out)
    print(f"{bundle.folder}: {dict(bundle.gate)}")


def _regate(options: Options) -> None:
    config = _config(options)
    folder, photos = options.out / BUNDLE, _photos_of_nothing(options, config)
    bundle = regate(folder, _held_out(options, config), photos, config.data)
    print(f"{bundle.folder}: {dict(bundle.gate)}")


def _evaluate(options: Options) -> None:
    data, faulty = _config(options).data, options.allow_incomplete
    offline = evaluation.offline(options.out, options.data, data, allow_incomplete=faulty)
    print(f"offline: {_shown(offline)}")
    with served(options.out / BUNDLE, evaluation.ENCODER) as running:
        online = evaluation.online(running, options.data, data, allow_incomplete=faulty)
        print(f"online: {_shown(online)}")
        evaluation.sheet(running, options.data, options.run / "sheet.jpg", data, allow_incomplete=faulty)


def _weights(options: Options) -> None:
    trained = trained_detector(options.run)
    if not isinstance(trained.network, YoloNetwork):
        raise SystemExit("This run's network has no .cfg, so Darknet cannot read it.")
    pictures_seen = trained.epochs * len(_split(options, trained.config, trained.config.data.train).pictures)
    save_darknet(trained.network, options.run / "network.weights", pictures_seen=pictures_seen)
    print(f"{options.run / CFG} and network.weights")


def _config(options: Options) -> ObjectsConfig:
    return read_config(options.config, ObjectsConfig)


def _split(options: Options, config: ObjectsConfig, name: str, *, decode: bool = False) -> AnnotatedPictures:
    allow_incomplete = options.allow_incomplete
    pictures = load_split(config.data, options.data, name, decode=decode, allow_incomplete=allow_incomplete)
    print(pictures.report.summary())
    return pictures


def _held_out(options: Options, config: ObjectsConfig) -> list[AnnotatedPicture]:
    """What the gate looks at: both splits that training does not learn from."""
    splits = dict.fromkeys((config.data.validation, config.data.queries))
    return [picture for name in splits for picture in _split(options, config, name).pictures]


def _photos_of_nothing(options: Options, config: ObjectsConfig) -> list[Path]:
    """Photos of groceries, where they are at hand: none shows anything of the drawn world."""
    folder = options.realdata / "grocery"
    if config.data.labels != LABELS or not folder.is_dir():
        return []
    return [photo.path for photo in grocery_photos(folder, "val")]


def _shown(figures: dict[str, float]) -> str:
    return ", ".join(f"{name} {share:.4f}" for name, share in figures.items())


if __name__ == "__main__":
    run_steps(
        __doc__,
        {
            "draw": _draw,
            "train": _train,
            "weights": _weights,
            "export": _export,
            "regate": _regate,
            "evaluate": _evaluate,
        },
        config="objects.toml",
        data=NAME,
        run=NAME,
    )
