"""Makes two bundles of one checkpoint that passes the gate: people's pictures, and the sentences that find them."""

import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from encoders.bundle import Bundle
from training.config import build
from training.datasets.pedestrians import Pedestrians
from training.gate import FEWEST_INPUTS, Candidate, Outputs, gate
from training.loop import CHECKPOINT
from training.models.dcmpl import Dcmpl
from training.paired_bundles import PictureTower, TextTower, write_paired_bundles
from training.pedestrians.captions import TOKENIZER
from training.pedestrians.config import PedestriansConfig
from training.pedestrians.held_out import HeldOut
from training.pedestrians.task import embedded, picture_encoder, text_encoder, text_inputs
from training.tokens.captions import MAX_TOKENS

IMAGE, TEXT = "pedestrian", "pedestrian-text"


@dataclass(frozen=True, slots=True)
class Trained:
    """A checkpoint's averaged network, on the CPU, with what it was made of."""

    network: Dcmpl
    config: PedestriansConfig
    tokenizer: Path
    epochs: int

    @classmethod
    def of(cls, run: Path) -> "Trained":
        """Read the checkpoint and the tokenizer of a run."""
        checkpoint = torch.load(run / CHECKPOINT, weights_only=True, map_location="cpu")
        config = build(PedestriansConfig, checkpoint["config"])
        vocabulary_size = len(checkpoint["weights"]["bilstm.embed.weight"])
        network = Dcmpl(replace(config.network, vocabulary_size=vocabulary_size))
        network.load_state_dict(checkpoint["weights"])
        return cls(network.eval(), config, run / TOKENIZER, checkpoint["epoch"])


def export(run: Path, people: Pedestrians, out: Path, *, fewest_inputs: int = FEWEST_INPUTS) -> tuple[Bundle, Bundle]:
    """Gate both branches on the test split and write `out`/pedestrian and `out`/pedestrian-text, which share a space."""
    trained = Trained.of(run)
    held_out = HeldOut.of(people, "test", preprocessing=trained.config.data.preprocessing, tokenizer=trained.tokenizer)
    pictures, captions = embedded(trained.network, held_out)

    image = gate(
        Candidate(
            network=picture_encoder(trained.network),
            inputs={"image": held_out.pixels},
            outputs=("embedding",),
            quality=_quality(lambda outputs: held_out.figures(outputs[0], captions)),
        ),
        out / IMAGE,
        fewest_inputs=fewest_inputs,
    )
    text = gate(
        Candidate(
            network=text_encoder(trained.network),
            inputs=text_inputs(held_out.tokens),
            outputs=("embedding",),
            quality=_quality(lambda outputs: held_out.figures(pictures, outputs[0])),
        ),
        out / TEXT,
        fewest_inputs=fewest_inputs,
    )

    tokenizer = Path(shutil.copyfile(trained.tokenizer, out / TEXT / TOKENIZER))
    return write_paired_bundles(
        out,
        PictureTower(IMAGE, image, ("image",), trained.config.data.preprocessing),
        TextTower(TEXT, text, tokenizer, MAX_TOKENS),
        dimension=trained.config.network.dimension,
        trained_on=f"{trained.config.trained_on}; {trained.epochs} epochs, seed {trained.config.seed}",
    )


def _quality(figures: Callable[[Outputs], Mapping[str, float]]) -> Callable[[Outputs], dict[str, float]]:
    """The two figures that no precision may spoil, the other branch being torch's."""

    def quality(outputs: Outputs) -> dict[str, float]:
        measured = figures(outputs)
        return {name: measured[name] for name in ("r1", "map")}

    return quality
