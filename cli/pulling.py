"""Published weights from where they are published, through the importers that read local files."""

import tempfile
from dataclasses import replace
from pathlib import Path

from cli.download import WebFile
from cli.failure import CommandFailed
from cli.importing import Told, import_file, import_network
from encoders.bundle import Bundle
from encoders.importers.torch_models import import_published

_DARKNET = "https://raw.githubusercontent.com/pjreddie/darknet/f6afaabcdf85f77e7aff2ec55c020c0e297c77f9"
_YOLO_CFG = WebFile(
    f"{_DARKNET}/cfg/yolov3.cfg",
    "22489ea38575dfa36c67a90048e8759576416a79d32dc11e15d2217777b9a953",
    most_bytes=2**16,
)
_YOLO_LABELS = WebFile(
    f"{_DARKNET}/data/coco.names",
    "634a1132eb33f8091d60f2c346ababe8b905ae08387037aed883953b7329af84",
    most_bytes=2**16,
)
_YOLO_WEIGHTS = WebFile(
    "https://pjreddie.com/media/files/yolov3.weights",
    "523e4e69e1d015393a1b0a441cef1d9c7659e3eb2d7e15f793f060a21b32f297",
    most_bytes=248_007_048,
)


def pull(source: str, sha256: str, told: Told) -> tuple[Bundle, ...]:
    """Make bundles of a published network by name, or of a file at an address, which must have this SHA-256.

    `CommandFailed` or `BundleError` says in one line what is wrong; nothing is left behind then.
    """
    if is_address(source):
        return _pull_file(WebFile(source, sha256.lower()), told)
    if sha256:
        raise CommandFailed(f"--sha256 is for addresses; {source} is published with a hash that is known")
    match source:
        case "yolov3":
            return _pull_yolo(told)
        case "ViT-B-16":
            return import_published("clip", None, name=told.name, out=told.out, licence=told.licence)
        case _:
            return (import_network(source, None, told),)


def is_address(source: str) -> bool:
    """Whether a source is an address rather than a name."""
    return "://" in source


def _pull_file(file: WebFile, told: Told) -> tuple[Bundle, ...]:
    with tempfile.TemporaryDirectory() as scratch:
        return import_file(file.download(Path(scratch)), told)


def _pull_yolo(told: Told) -> tuple[Bundle, ...]:
    with tempfile.TemporaryDirectory() as scratch:
        cfg, labels, weights = (file.download(Path(scratch)) for file in (_YOLO_CFG, _YOLO_LABELS, _YOLO_WEIGHTS))
        # Darknet of those who published it letterboxes; their .cfg does not say so.
        letterbox = told.letterbox is not False
        return import_file(weights, replace(told, cfg=cfg, labels=labels, letterbox=letterbox))
