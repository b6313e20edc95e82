"""A new bundle's folder: it appears complete and tried, or not at all."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import onnx
from onnx import ModelProto

from encoders.bundle import ModelFile
from encoders.errors import BundleError, first_line

_UNFINISHED = ".importing-"


def delete_unfinished(out: Path, process_group: int | None) -> None:
    """Delete what processes of a group had begun to write in `out` when they died."""
    for folder in out.glob(f"{_UNFINISHED}{process_group}-*"):
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def new_folder(out: Path, name: str) -> Iterator[Path]:
    """A folder to write a bundle in; it becomes `out/name` when the block ends without an error, and is deleted otherwise."""
    if (out / name).exists():
        raise BundleError(f"{out / name} exists already: choose another name, or delete that bundle first.")
    try:
        out.mkdir(parents=True, exist_ok=True)
        unfinished = Path(tempfile.mkdtemp(prefix=f"{_UNFINISHED}{os.getpgrp()}-", dir=out))
    except OSError as error:
        raise BundleError(f"{out} cannot be written to: {error.strerror}.") from error
    try:
        yield unfinished
        unfinished.chmod(0o755)  # mkdtemp lets only its maker in
        unfinished.rename(out / name)
    except OSError as error:
        raise BundleError(f"{out / name} cannot be written: {error.strerror}.") from error
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


def save_model(model: ModelProto, path: Path) -> ModelFile:
    """Check a graph, write it, the same bytes for the same graph, and describe the file."""
    try:
        onnx.checker.check_model(model)
        path.write_bytes(model.SerializeToString(deterministic=True))
    except onnx.checker.ValidationError as error:
        raise BundleError(f"The graph is not valid ONNX: {first_line(error)}") from error
    except ValueError as error:
        raise BundleError("The model is larger than 2 GiB, the most that one ONNX file can hold.") from error
    return ModelFile.of(path)
