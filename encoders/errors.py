"""What can be wrong with the caller's content and with the operator's model."""


class InvalidContent(ValueError):
    """The caller's picture or text cannot be used; the message says why, for the caller to read."""


class UnsupportedPicture(InvalidContent):
    """The bytes are no picture that is read here, or a damaged or too large one."""


class DecodingCancelled(Exception):
    """The caller has gone while its image was decoded; nobody waits for a result."""


class BundleError(Exception):
    """The operator's model cannot be used; the message names the file and says what to do."""


class ModelError(Exception):
    """The model ran and failed, or gave no usable answer for one input; nothing of it may be stored."""
