"""Image formats by the name of a file: which are taken, and which are images that nothing here decodes.

A name is only a first guess. What a file really holds is decided by its first bytes when it is read.
"""

PICTURE_SUFFIXES = frozenset(
    {".jpg", ".jpeg", ".jpe", ".jfif", ".jif", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff"}
)

_RAW = (
    *(".3fr", ".arw", ".cr2", ".cr3", ".crw", ".dcr", ".dng", ".erf", ".fff", ".iiq", ".kdc", ".mef", ".mos", ".mrw"),
    *(".nef", ".nrw", ".orf", ".pef", ".raf", ".raw", ".rw2", ".rwl", ".sr2", ".srf", ".srw", ".x3f"),
)
_UNSUPPORTED = {
    "HEIC": (".heic", ".heif", ".heics", ".heifs", ".hif"),
    "AVIF": (".avif", ".avifs"),
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
    """Whether a file of this name is taken for an image that can be read."""
    return _suffix(name) in PICTURE_SUFFIXES


def why_unsupported(name: str) -> str:
    """Why a file of this name is not taken, for the person who put it there."""
    kind = _FORMAT_OF.get(_suffix(name))
    if kind is None:
        return "not an image, by the file's name"
    return f"{kind} files cannot be read; convert them to JPEG, PNG, WebP or TIFF"


def _suffix(name: str) -> str:
    """The part from the last dot on. A PurePath would take ten times as long, for each of many files."""
    return name[name.rfind(".") :].lower()
