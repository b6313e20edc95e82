"""Does the teacher help with what was never trained on? Trains the content twice, with it and from labels alone."""

from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from training.config import table_of
from training.general.config import GeneralConfig
from training.general.network import ContentNetwork, EmbeddingNetwork
from training.general.task import ContentTask
from training.general.train import VIEWS
from training.general.validation import leave_one_out, summary
from training.general.views import Views
from training.loop import CHECKPOINT, fit
from training.photos import clothing_photos, grocery_photos

# Short, since it is run twice; the figures are lower than a whole run's.
EPOCHS = 24
# One of so many grocery products is never trained on, nor are clothes and drawn objects.
EACH_HELD_OUT = 4


def trial(config: GeneralConfig, realdata: Path, run: Path, device: torch.device) -> None:
    """Print how well whole images of unseen things find their like, for both ways to train."""
    views = Views.open(run / VIEWS)
    groceries = len(grocery_photos(realdata / "grocery", "train"))
    clothes = groceries + len(clothing_photos(realdata / "clothing"))
    is_unseen = views.fine[:groceries] % EACH_HELD_OUT == 0
    seen = views.of(np.flatnonzero(~is_unseen))
    unseen = {
        "groceries": views.of(np.flatnonzero(is_unseen)),
        "clothes": views.of(slice(groceries, clothes)),
        "drawn objects": views.of(slice(clothes, None)),
    }
    optimiser = replace(config.content_stage.optimiser, epochs=EPOCHS)
    losses = {"labels and teacher": config.loss, "labels alone": replace(config.loss, teacher=0.0, likeness=0.0)}
    for name, loss in losses.items():
        short = replace(config, loss=loss, content_stage=replace(config.content_stage, optimiser=optimiser))
        network = _trained(short, seen, unseen["groceries"], run / "trial" / name.replace(" ", "_"), device)
        for subject, images in unseen.items():
            figures = summary(leave_one_out(_embedded(network, images), images.fine))
            print(f"{name}, {subject}: " + ", ".join(f"{figure} {share:.3f}" for figure, share in figures.items()))


def _trained(config: GeneralConfig, seen: Views, unseen: Views, run: Path, device: torch.device) -> ContentNetwork:
    torch.manual_seed(config.seed)
    network = EmbeddingNetwork(**asdict(config.network)).content
    validation = np.array(unseen.pixels[:, 0]), unseen.fine
    task = ContentTask(network, seen, validation, stage=config.content_stage, loss=config.loss).to(device)
    fit(task, config.content_stage.optimiser, run, config=table_of(config), seed=config.seed)
    network.load_state_dict(torch.load(run / CHECKPOINT, weights_only=True)["weights"])
    return network.eval()


@torch.inference_mode()
def _embedded(network: nn.Module, views: Views) -> NDArray[np.float32]:
    device = next(network.parameters()).device
    parts = [
        network(torch.from_numpy(np.array(part)).to(device).permute(0, 3, 1, 2).float()).cpu()
        for part in np.array_split(views.pixels[:, 0], 40)
    ]
    return torch.cat(parts).numpy()
