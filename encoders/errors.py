"""What can be wrong with the caller's content and with the operator's model."""


class InvalidContent(ValueError):
    """The caller's image or text cannot be used; the message says why, for the caller to read."""


class UnsupportedImage(InvalidContent):
    """The bytes are not an image that can be read, or are a damaged or too large one."""


class DecodingCancelled(Exception):
    """The caller left while its image was decoded; nobody waits for a result."""


class BundleError(Exception):
    """The operator's model cannot be used; the message names the file and says what to do."""


class ModelError(Exception):
    """The model ran and failed, or computed no usable output for one input; nothing of it may be stored."""


def first_line(error: BaseException) -> str:
    """What a library's exception says, in one line of a message."""
    return next((line.strip()[:300] for line in str(error).splitlines() if line.strip()), type(error).__name__)
