"""Why a picture cannot be read from where it lies."""


class SourceError(Exception):
    """The picture cannot be read; the message is for the caller and names no path but the caller's own."""


class OutsideRootsError(SourceError):
    """The path lies outside the configured roots, or leads out of them."""


class PatternError(SourceError):
    """A pattern is not in gitignore's syntax."""


class MissingSourceError(SourceError):
    """There is no such picture."""


class OversizedSourceError(SourceError):
    """The picture has more bytes than may be read."""
