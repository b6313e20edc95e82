"""Published checkpoints as bundles, in the form in which `fovea up` serves them.

    python -m training.published dcmpl 99.pth.tar --words word_to_index.pkl --name pedestrians --out DIR
    python -m training.published taskformer tsbir_model_final.pt --name scenes --out DIR
    python -m training.published compcars model.ep18 --name cars --out DIR
    python -m training.published clip --online --name clip --out DIR

Prints the folders of the new bundles, one a line.
"""

import argparse
import sys
import tempfile
from pathlib import Path

from huggingface_hub import get_hf_file_metadata, hf_hub_download, hf_hub_url
from open_clip.constants import HF_SAFE_WEIGHTS_NAME
from open_clip.pretrained import get_pretrained_cfg

from encoders.bundle import Bundle
from encoders.errors import BundleError
from encoders.importers.model_file import check_model_file
from training.checkpoints.tensors import CheckpointError
from training.published.bundles import write_bundles
from training.published.networks import READERS


def main(arguments: list[str] | None = None) -> None:
    """Import as the command line says; one line on stderr and exit code 1 for what cannot be imported."""
    parser = argparse.ArgumentParser(prog="python -m training.published", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("network", help=f"one of {', '.join(READERS)}")
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("checkpoint", nargs="?", type=Path, help="the file that was published")
    source.add_argument("--online", action="store_true", help="download OpenAI's CLIP")
    parser.add_argument("--words", type=Path, help="word_to_index.pkl of a pedestrian checkpoint")
    parser.add_argument("--name", required=True, help="the bundle's name; its siblings add -text or -sketch")
    parser.add_argument("--out", type=Path, required=True, help="where to put the bundles' folders")
    parser.add_argument("--licence", default="", help="kept with the bundles")
    options = parser.parse_args(arguments)
    try:
        with tempfile.TemporaryDirectory() as scratch:
            checkpoint = download_clip(Path(scratch)) if options.online else options.checkpoint
            for bundle in import_checkpoint(
                options.network,
                checkpoint,
                words=options.words,
                name=options.name,
                out=options.out,
                licence=options.licence,
            ):
                print(bundle.folder)
    except (BundleError, CheckpointError) as error:
        sys.exit(str(error))


def import_checkpoint(
    network: str, checkpoint: Path, *, words: Path | None, name: str, out: Path, licence: str = ""
) -> tuple[Bundle, ...]:
    """Write the bundles of one checkpoint; `BundleError` or `CheckpointError` says why there is none."""
    if network not in READERS:
        raise BundleError(f"There is no published network {network!r}; there are {', '.join(READERS)}.")
    check_model_file(checkpoint)
    parts = READERS[network](checkpoint, words)
    return write_bundles(parts, name=name, out=out, checkpoint=checkpoint, licence=licence)


TIMEOUT_S = 10.0


def download_clip(folder: Path) -> Path:
    """Download the tensors, about 600 MB, and return the file; nothing is kept outside `folder`."""
    repository = get_pretrained_cfg("ViT-B-16", "openai")["hf_hub"].rstrip("/")
    try:
        # Asked first, because downloading tries again and again for a minute where there is no connection.
        get_hf_file_metadata(hf_hub_url(repository, HF_SAFE_WEIGHTS_NAME), timeout=TIMEOUT_S)
        return Path(hf_hub_download(repository, HF_SAFE_WEIGHTS_NAME, cache_dir=folder))
    except Exception as error:  # the hub's errors and those of its HTTP library have no other base in common
        raise CheckpointError(
            f"CLIP's weights could not be downloaded ({type(error).__name__}): check the connection, or import a file "
            "with `fovea models import FILE --network clip`."
        ) from error


if __name__ == "__main__":
    main()
