"""Errors of reading images from files."""


class SourceError(Exception):
    """The image cannot be read; the message is for the caller and names no path but the caller's own."""


class OutsideRootsError(SourceError):
    """The path lies outside the configured roots, or leads out of them."""


class PatternError(SourceError):
    """A pattern is not in gitignore's syntax."""


class MissingSourceError(SourceError):
    """There is no such image."""


class OversizedSourceError(SourceError):
    """The image has more bytes than may be read."""
