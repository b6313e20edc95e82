"""The lane of a call, in request metadata: interactive work goes before bulk work."""

from collections.abc import Iterable
from enum import Enum

from rpc.errors import InvalidArgument

PRIORITY_KEY = "fovea-priority"


class Priority(Enum):
    """Whether a person waits for the answer, or a program for the end of many such calls."""

    INTERACTIVE = "interactive"
    BULK = "bulk"

    @classmethod
    def of(cls, metadata: Iterable[tuple[str, str | bytes]] | None) -> "Priority":
        """The priority that a call's metadata asks for; interactive without one."""
        for key, value in metadata or ():
            if key == PRIORITY_KEY:
                try:
                    return cls(value)
                except ValueError as error:
                    raise InvalidArgument(f"{PRIORITY_KEY}: must be interactive or bulk") from error
        return cls.INTERACTIVE

    @property
    def metadata(self) -> tuple[tuple[str, str], ...]:
        """The metadata that asks for this priority."""
        return ((PRIORITY_KEY, self.value),)
