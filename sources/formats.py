"""Image formats by file name: which are supported, and which are image formats that cannot be decoded.

The name is only a first filter; the first bytes decide when the file is read.
"""

IMAGE_SUFFIXES = frozenset(
    {
        *(".jpg", ".jpeg", ".jpe", ".jfif", ".jif", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff"),
        *(".heic", ".heif", ".hif", ".avif"),
    }
)

_RAW = (
    *(".3fr", ".arw", ".cr2", ".cr3", ".crw", ".dcr", ".dng", ".erf", ".fff", ".iiq", ".kdc", ".mef", ".mos", ".mrw"),
    *(".nef", ".nrw", ".orf", ".pef", ".raf", ".raw", ".rw2", ".rwl", ".sr2", ".srf", ".srw", ".x3f"),
)
_UNSUPPORTED = {
    "HEIC sequence": (".heics", ".heifs"),
    "AVIF sequence": (".avifs",),
    "JPEG XL": (".jxl",),
    "JPEG 2000": (".jp2", ".j2k", ".jpf", ".jpx"),
    "camera raw": _RAW,
    "Photoshop": (".psd", ".psb"),
    "SVG": (".svg", ".svgz"),
    "OpenEXR": (".exr",),
    "Radiance HDR": (".hdr",),
    "Targa": (".tga",),
    "PNM": (".pbm", ".pgm", ".ppm", ".pnm"),
    "icon": (".ico", ".icns"),
}
_FORMAT_OF = {suffix: name for name, suffixes in _UNSUPPORTED.items() for suffix in suffixes}


def is_supported(name: str) -> bool:
    """Whether a file of this name should be an image that can be decoded."""
    return _suffix(name) in IMAGE_SUFFIXES


def why_unsupported(name: str) -> str:
    """Why a file of this name is left out, in words for its owner."""
    kind = _FORMAT_OF.get(_suffix(name))
    if kind is None:
        return "not an image, by the file's name"
    return f"{kind} files cannot be read; convert them to JPEG, PNG, WebP or TIFF"


def _suffix(name: str) -> str:
    """The part from the last dot on; PurePath takes ten times as long, which counts in folders of a million files."""
    return name[name.rfind(".") :].lower()
