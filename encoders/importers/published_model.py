"""A checkpoint of a published system made into bundles; torch reads it in a process of its own."""

from pathlib import Path

from encoders.bundle import Bundle
from encoders.importers.training_process import run_training

# How a network is asked is in no checkpoint, so that each way has a name; `clip` is OpenAI's, `clip-gelu` OpenCLIP's own.
NETWORKS = (
    "dcmpl",
    "dcmpl-bidirectional",
    "taskformer",
    "clip",
    "clip-gelu",
    "compcars",
    "compcars-attention",
    "compcars-two-scale",
)


def import_published(
    network: str, checkpoint: Path | None, *, name: str, out: Path, words: Path | None = None, licence: str = ""
) -> tuple[Bundle, ...]:
    """Write `out/name`, and its siblings of other modalities in the same space; raises `BundleError`, leaving nothing.

    `network` is one of `NETWORKS`; `checkpoint` None downloads OpenAI's CLIP. `words` is the list
    of words that a pedestrian checkpoint was trained with.
    """
    options = [f"--name={name}", f"--out={out.resolve()}", f"--licence={licence}"]
    if words is not None:
        options.append(f"--words={words.resolve()}")
    source = ["--online", "--", network] if checkpoint is None else ["--", network, str(checkpoint.resolve())]
    folders = run_training("training.published", *options, *source)
    return tuple(Bundle.load(Path(folder)) for folder in folders)
