"""Makes two bundles of one checkpoint that passes the gate: people's images, and the sentences that find them."""

import shutil
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

from encoders.bundle import Bundle
from training.bundles import ImageTower, TextTower, finished, write_paired_bundles
from training.datasets.pedestrians import Pedestrians
from training.gate import FEWEST_INPUTS, Candidate, gate
from training.models.dcmpl import Dcmpl
from training.models.served import Outputs
from training.pedestrians.captions import TOKENIZER
from training.pedestrians.config import PedestriansConfig
from training.pedestrians.held_out import HeldOut
from training.pedestrians.task import embedded, image_encoder, text_encoder, text_inputs
from training.tokens.captions import MAX_TOKENS

IMAGE, TEXT = "pedestrian", "pedestrian-text"


def export(run: Path, people: Pedestrians, out: Path, *, fewest_inputs: int = FEWEST_INPUTS) -> tuple[Bundle, Bundle]:
    """Gate both branches on the test split and write `out`/pedestrian and `out`/pedestrian-text, which share a space."""
    trained, tokenizer = finished(run, PedestriansConfig), run / TOKENIZER
    vocabulary_size = len(trained.weights["bilstm.embed.weight"])
    network = Dcmpl(replace(trained.config.network, vocabulary_size=vocabulary_size)).eval()
    network.load_state_dict(trained.weights)
    preprocessing = trained.config.data.preprocessing
    held_out = HeldOut.of(people, "test", preprocessing=preprocessing, tokenizer=tokenizer)
    images, captions = embedded(network, held_out)

    image = gate(
        Candidate(
            network=image_encoder(network),
            inputs={"image": held_out.pixels},
            outputs=("embedding",),
            quality=_quality(lambda outputs: held_out.figures(outputs[0], captions)),
        ),
        out / IMAGE,
        fewest_inputs=fewest_inputs,
    )
    text = gate(
        Candidate(
            network=text_encoder(network),
            inputs=text_inputs(held_out.tokens),
            outputs=("embedding",),
            quality=_quality(lambda outputs: held_out.figures(images, outputs[0])),
        ),
        out / TEXT,
        fewest_inputs=fewest_inputs,
    )

    shipped = Path(shutil.copyfile(tokenizer, out / TEXT / TOKENIZER))
    return write_paired_bundles(
        ImageTower(out / IMAGE, image, ("image",), preprocessing),
        TextTower(out / TEXT, text, shipped, MAX_TOKENS),
        dimension=trained.config.network.dimension,
        trained_on=trained.trained_on,
    )


def _quality(figures: Callable[[Outputs], Mapping[str, float]]) -> Callable[[Outputs], dict[str, float]]:
    """The two figures that no precision may spoil, the other branch being torch's."""

    def quality(outputs: Outputs) -> dict[str, float]:
        measured = figures(outputs)
        return {name: measured[name] for name in ("r1", "map")}

    return quality
