"""Owns the reading of foreign checkpoints: tensors only, and every key that does not fit is named."""

import pickle
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

Tensors = dict[str, Tensor]
SHOWN_KEYS = 8
# What torch's reader of tensors raises on bytes that are something else.
_GARBAGE = (
    pickle.UnpicklingError,
    RuntimeError,
    EOFError,
    ValueError,
    LookupError,
    AttributeError,
    TypeError,
    SafetensorError,
)
# A class or function that the pickle asks for; torch reports it in several ways.
_FOREIGN = re.compile(r"(?:GLOBAL |global |load |class )'?([A-Za-z_][\w.]*\.\w+)")


class CheckpointError(ValueError):
    """A checkpoint cannot be used; the message names the file or the keys and says what to do."""


def read_checkpoint(path: Path) -> dict[str, Any]:
    """Read what `torch.save` wrote, or a `.safetensors`; tensors and plain values only: nothing in the file can run."""
    try:
        if path.suffix == ".safetensors":
            return dict(load_file(path))
        content = torch.load(path, map_location="cpu", weights_only=True)
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read: {error.strerror}.") from error
    except _GARBAGE as error:
        raise CheckpointError(f"{path} {_reason(error)}.") from error
    if not isinstance(content, dict):
        raise CheckpointError(f"{path} holds a {type(content).__name__}, not a dictionary of tensors.")
    return content


def _reason(error: Exception) -> str:
    """Why torch did not read a file, as the end of a sentence; torch's own words are long and advise to run the file."""
    message = str(error)
    if "TorchScript" in message:
        return "is a TorchScript archive, not a checkpoint: save the network's state_dict() with torch.save"
    if "zip archive" in message:
        return "is cut short or damaged: fetch the file again"
    if found := _FOREIGN.search(message):
        return (
            f"holds an object of {found[1]}, and a checkpoint may hold only tensors and plain values, so that nothing in "
            "it can run: save the network's state_dict() with torch.save"
        )
    return "is not a checkpoint of tensors and plain values; nothing else is loaded from it"


def tensors_of(content: Mapping[str, Any]) -> Tensors:
    """Return the tensors without the `module.` that training on several GPUs puts before each name."""
    return {name.removeprefix("module."): value for name, value in content.items() if isinstance(value, Tensor)}


def load_strictly(network: nn.Module, tensors: Mapping[str, Tensor], *, unused: Iterable[str] = ()) -> None:
    """Fill the network; every missing, extra or misshapen key is named in one `CheckpointError`.

    Extra keys may start with one of `unused`. The counters of batch normalisation may be missing: old versions of torch
    wrote none, and nothing depends on them.
    """
    own = network.state_dict()
    missing = [name for name in own if name not in tensors and not name.endswith("num_batches_tracked")]
    extra = [name for name in tensors if name not in own and not name.startswith(tuple(unused))]
    misshapen = [
        f"{name} {tuple(tensors[name].shape)} instead of {tuple(tensor.shape)}"
        for name, tensor in own.items()
        if name in tensors and tensors[name].shape != tensor.shape
    ]
    if missing or extra or misshapen:
        raise CheckpointError(
            "the checkpoint does not fit the network: "
            + "; ".join(
                f"{len(names)} {what}: {_shown(names)}"
                for what, names in (("missing", missing), ("extra", extra), ("misshapen", misshapen))
                if names
            )
        )
    network.load_state_dict({name: tensors.get(name, tensor) for name, tensor in own.items()})


def _shown(names: list[str]) -> str:
    return ", ".join(names[:SHOWN_KEYS]) + (f" and {len(names) - SHOWN_KEYS} more" if len(names) > SHOWN_KEYS else "")
