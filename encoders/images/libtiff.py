"""libtiff, which Pillow's wheels contain and which prints its warnings about a file to stderr."""

import ctypes
from pathlib import Path

import PIL


def silence_libtiff() -> None:
    """Keep libtiff's lines out of this process's log; Pillow's exceptions say what cannot be read."""
    package = Path(PIL.__file__).parent
    # In wheels for Linux and for macOS; a libtiff of the system keeps printing.
    for path in (*package.parent.glob("pillow.libs/libtiff*"), *package.glob(".dylibs/libtiff*")):
        libtiff = ctypes.CDLL(str(path))
        for name in ("TIFFSetWarningHandler", "TIFFSetErrorHandler"):
            set_handler = getattr(libtiff, name)
            set_handler.argtypes, set_handler.restype = [ctypes.c_void_p], ctypes.c_void_p
            set_handler(None)
