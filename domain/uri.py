"""The uri of an image: its identity for callers, and for some images the path to read it from."""

from domain.limits import MAX_URI_BYTES


def uri_fault(uri: str) -> str:
    """Why a text cannot be a uri, as the end of a sentence; empty if it can."""
    if not uri:
        return "must not be empty"
    if "\0" in uri:
        return "must not contain a NUL character"
    try:
        size_bytes = len(uri.encode())
    except UnicodeEncodeError:
        return "must be Unicode text, without lone surrogates"
    return "" if size_bytes <= MAX_URI_BYTES else f"must not be longer than {MAX_URI_BYTES:,} bytes"
