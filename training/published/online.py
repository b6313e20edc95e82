"""OpenAI's CLIP ViT-B/16 from where open_clip says that it is published."""

from pathlib import Path

from huggingface_hub import get_hf_file_metadata, hf_hub_download, hf_hub_url
from open_clip.constants import HF_SAFE_WEIGHTS_NAME
from open_clip.pretrained import get_pretrained_cfg

from training.checkpoints.tensors import CheckpointError

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
