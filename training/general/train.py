"""Prepares and trains the general embedding: labels and a teacher, on openly licensed photos and the drawn world."""

from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch

from training.config import table_of
from training.general.config import GeneralConfig
from training.general.crops import drawn_crops
from training.general.network import EmbeddingNetwork
from training.general.task import ContentTask, JointTask
from training.general.validation import squashed
from training.general.views import Views, write_views
from training.loop import CHECKPOINT, fit
from training.photos import clothing_photos, grocery_photos

VIEWS, CONTENT_STAGE = "views", "content_stage"


def prepare(config: GeneralConfig, realdata: Path, run: Path) -> None:
    """Cut and embed the views that both stages read, the photos before the drawn objects."""
    write_views(
        [
            *grocery_photos(realdata / "grocery", "train"),
            *clothing_photos(realdata / "clothing"),
            *drawn_crops(config.data.drawn_crops, config.seed),
        ],
        run / VIEWS,
        teacher=realdata / "bundles" / "mobilenet_v2_imagenet.onnx",
        size_px=config.data.view_px,
        count=config.data.views,
        seed=config.seed,
        threads=torch.get_num_threads(),
    )


def train_content(
    config: GeneralConfig, realdata: Path, run: Path, device: torch.device, *, max_steps: int | None = None
) -> None:
    """The first stage, in a folder of its own inside `run`: photos alone."""
    torch.manual_seed(config.seed)
    views = Views.open(run / VIEWS)
    task = ContentTask(
        EmbeddingNetwork(**asdict(config.network)).content,
        views.of(slice(len(views.fine) - config.data.drawn_crops)),
        squashed(grocery_photos(realdata / "grocery", "val"), config.data.view_px),
        stage=config.content_stage,
        loss=config.loss,
    ).to(device)
    optimiser = config.content_stage.optimiser
    fit(task, optimiser, run / CONTENT_STAGE, config=table_of(config), seed=config.seed, max_steps=max_steps)


def joint_task(config: GeneralConfig, realdata: Path, run: Path) -> JointTask:
    """The second stage, from the weights of the first; its averaged weights, `run`/checkpoint.pt, are served."""
    views = Views.open(run / VIEWS)
    network = EmbeddingNetwork(**asdict(config.network))
    network.content.load_state_dict(torch.load(run / CONTENT_STAGE / CHECKPOINT, weights_only=True)["weights"])
    network.colour.fit(np.array(views.pixels[:, 0]))
    return JointTask(
        network,
        views,
        squashed(grocery_photos(realdata / "grocery", "val"), config.data.view_px),
        stage=config.joint_stage,
        loss=config.loss,
    )
