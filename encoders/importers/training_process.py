"""What only torch can read is exported by a process of its own: a module of `training`, run to its end."""

import importlib.util
import subprocess
import sys

from encoders.errors import BundleError

_MAX_EXPORT_S = 1_800  # a download may be part of it


def run_training(module: str, *arguments: str) -> list[str]:
    """Run `python -m module arguments` and return the lines that it prints; `BundleError` with its own last sentence."""
    if importlib.util.find_spec("training") is None:
        raise BundleError(
            "This model is read by Fovea's training code, which an installed wheel does not hold: import it in a checkout, "
            "after `make venv-training`."
        )
    if importlib.util.find_spec("torchvision") is None:
        raise BundleError("This model needs torch and torchvision: run `make venv-training` in the checkout.")
    command = [sys.executable, "-m", module, *arguments]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_MAX_EXPORT_S, check=False)
    except subprocess.TimeoutExpired as error:
        raise BundleError(f"The import took more than {_MAX_EXPORT_S // 60} minutes.") from error
    if done.returncode < 0:
        raise BundleError(f"The import was ended by signal {-done.returncode}; was there enough memory?")
    if done.returncode != 0:
        raise BundleError((done.stderr.strip().splitlines() or ["The import failed without a word."])[-1])
    return done.stdout.splitlines()
