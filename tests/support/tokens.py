"""A token file for tests."""

from pathlib import Path
from typing import Any

from rpc.security.tokens import TokenEntry, TokenFile


class TokenFolder:
    """A token file, and the tokens in it by name."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.entries: dict[str, TokenEntry] = {}
        self.write()

    def add(self, name: str, **rights: Any) -> str:
        """A new token."""
        token, self.entries[name] = TokenEntry.new(name=name, **rights)
        self.write()
        return token

    def revoke(self, name: str) -> None:
        """Takes a token out of the file."""
        del self.entries[name]
        self.write()

    def write(self) -> None:
        """Writes the file."""
        TokenFile(tokens=tuple(self.entries.values())).write(self.path)


def bearer(token: str) -> tuple[tuple[str, str], ...]:
    """The metadata or the headers that carry a token."""
    return (("authorization", f"Bearer {token}"),)
