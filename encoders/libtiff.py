"""libtiff, which Pillow's wheels bring along and which prints what it dislikes about a file on stderr."""

import ctypes
from pathlib import Path

import PIL

_HANDLERS = ("TIFFSetWarningHandler", "TIFFSetErrorHandler")


def silence_libtiff() -> None:
    """Keep libtiff's lines out of this process's log; Pillow's exceptions say what cannot be read."""
    package = Path(PIL.__file__).parent
    # In wheels for Linux and for macOS; a libtiff of the system's own keeps its voice.
    for path in (*package.parent.glob("pillow.libs/libtiff*"), *package.glob(".dylibs/libtiff*")):
        libtiff = ctypes.CDLL(str(path))
        for name in _HANDLERS:
            set_handler = getattr(libtiff, name)
            set_handler.argtypes, set_handler.restype = [ctypes.c_void_p], ctypes.c_void_p
            set_handler(None)
