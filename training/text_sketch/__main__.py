"""Search by sentence, sketch or both (TASK-former): what one leaves out of a photo, the other may say.

    python -m training.text_sketch draw train export evaluate

`draw` writes the drawn world in the layout of COCO 2014 with Karpathy's split to --data, with a sketch of every photo.
The other steps read that layout and nothing else; for the published set leave `draw` out:

    python -m training.text_sketch train export evaluate --config training/configs/text_sketch_published.toml
        --start ViT-B-16.pt --data DIR/coco --run data/training/text_sketch_published --out data/models
"""

from dataclasses import asdict

import torch

from training.command import Options, run_steps
from training.config import read_config
from training.datasets.coco_karpathy import CaptionedPhotos, load_coco_karpathy
from training.loop import fit
from training.serving import served
from training.text_sketch import evaluate as evaluation
from training.text_sketch.config import TextSketchConfig
from training.text_sketch.export import PICTURE, TEXT, export
from training.text_sketch.start import load_start, words_of_start
from training.text_sketch.task import TextSketchTask
from training.world.coco_karpathy import write_coco_karpathy

NAME = "text_sketch"


def _draw(options: Options) -> None:
    config = _config(options).world
    write_coco_karpathy(options.data, {"train": config.train, "val": config.val, "test": config.test})


def _train(options: Options) -> None:
    config = _config(options)
    torch.manual_seed(config.seed)
    words = None if options.start is None else words_of_start(options.start)
    task = TextSketchTask(config, _photos(options, decode=True), options.run, words=words)
    if options.start is not None:
        load_start(task.network, options.start)
    task = task.to(options.device)
    fit(task, config.optimiser, options.run, config=asdict(config), seed=config.seed)


def _export(options: Options) -> None:
    for bundle in export(options.run, _photos(options), options.out):
        print(f"{bundle.folder}: {dict(bundle.gate)}")


def _evaluate(options: Options) -> None:
    faulty = options.allow_incomplete
    print(f"offline: {_shown(evaluation.offline(options.out, options.data, allow_incomplete=faulty))}")
    with served(options.out / PICTURE, options.out / TEXT) as running:
        print(f"online: {_shown(evaluation.online(running, options.data, allow_incomplete=faulty))}")
        evaluation.sheet(running, options.data, options.run / "sheet.jpg", allow_incomplete=faulty)


def _config(options: Options) -> TextSketchConfig:
    return read_config(options.config, TextSketchConfig)


def _photos(options: Options, *, decode: bool = False) -> CaptionedPhotos:
    photos = load_coco_karpathy(
        options.data,
        sketch_splits=("train", "val", "test"),
        decode=decode or options.allow_incomplete,
        allow_incomplete=options.allow_incomplete,
    )
    print(photos.report.summary())
    return photos


def _shown(figures: dict[str, float]) -> str:
    return ", ".join(f"{name} {share:.4f}" for name, share in figures.items())


if __name__ == "__main__":
    run_steps(
        __doc__,
        {"draw": _draw, "train": _train, "export": _export, "evaluate": _evaluate},
        config="text_sketch.toml",
        data=NAME,
        run=NAME,
    )
