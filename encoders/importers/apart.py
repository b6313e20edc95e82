"""Imports in a process of their own: a model that crashes ONNX Runtime ends that process and costs one line."""

import shutil
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context
from pathlib import Path
from typing import Any, TypeVar

from encoders.errors import BundleError
from encoders.importers.publish import unfinished_folders

Imported = TypeVar("Imported")


def import_apart(importer: Callable[..., Imported], *sources: Any, out: Path, **options: Any) -> Imported:
    """Call `importer(*sources, out=out, **options)` in a process of its own; `BundleError` where that process dies."""
    before = unfinished_folders(out)
    # A fork would inherit the threads' locks of libraries that are loaded already.
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        try:
            return pool.submit(importer, *sources, out=out, **options).result()
        except BrokenProcessPool as error:
            for folder in unfinished_folders(out) - before:
                shutil.rmtree(folder, ignore_errors=True)
            raise BundleError(
                "The model ended the process that tried it: it needs more memory than there is, is damaged, or meets a "
                "fault of ONNX Runtime. Nothing was imported."
            ) from error
