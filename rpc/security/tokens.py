"""Tokens: what a token file says of each, and how a new one is made. The file holds hashes; a token is shown once."""

import hashlib
import hmac
import json
import secrets
from collections.abc import Mapping
from datetime import UTC, datetime
from enum import IntEnum
from pathlib import Path
from typing import Annotated, Any, Self, TypeAlias

from pydantic import (
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    StringConstraints,
    ValidationError,
)

from rpc.security.watched_files import UnusableFile, WatchedFiles, read_file

_PREFIX = "fovea"
_ID_BYTES, _SECRET_BYTES = 6, 32


class Right(IntEnum):
    """What a token may do with a collection; each includes those before it."""

    READ = 1
    """Search it, read and list its images."""
    WRITE = 2
    """Add and delete images."""
    ADMIN = 3
    """Create, change and delete it, move it to another encoder, scrub it."""

    @property
    def word(self) -> str:
        """As files and messages name it."""
        return self.name.lower()


def _right(word: Any) -> Any:
    return Right[word.upper()] if isinstance(word, str) and word.upper() in Right.__members__ else word


_Named = Annotated[Right, BeforeValidator(_right), PlainSerializer(lambda right: right.word)]
_Pattern = Annotated[str, StringConstraints(pattern=r"^(\*|[a-z][a-z0-9_]{0,62}\*?)$")]


class TokenEntry(BaseModel):
    """One token: the SHA-256 of its text, the rights that it gives, and its limits.

    A name of `collections` may end in `*` for all that begin with it; of several that fit the largest right counts.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: str = Field(pattern=r"^[0-9a-f]{8,32}$")
    name: str = Field("", max_length=128)
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    collections: dict[_Pattern, _Named] = Field(default_factory=dict)
    encode: bool = False  # call encoders and detectors
    files: bool = False  # name files below the image roots
    calls_per_s: float = Field(0.0, ge=0)  # in each process; 0 sets no limit
    calls_at_once: int = Field(16, ge=1)  # in each process
    expires: AwareDatetime | None = None

    @classmethod
    def new(cls, **rights: Any) -> tuple[str, Self]:
        """A new token and its entry."""
        token_id = secrets.token_hex(_ID_BYTES)
        token = f"{_PREFIX}_{token_id}_{secrets.token_urlsafe(_SECRET_BYTES)}"
        return token, cls(id=token_id, sha256=_hash(token), **rights)

    @property
    def is_over(self) -> bool:
        """Whether its time is over."""
        return self.expires is not None and self.expires <= datetime.now(UTC)

    def right_to(self, collection: str) -> int:
        """The largest right to a collection; 0 where there is none."""
        return max((right for pattern, right in self.collections.items() if _fits(pattern, collection)), default=0)


class TokenFile(BaseModel):
    """The entries of a file."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    tokens: tuple[TokenEntry, ...] = ()

    @classmethod
    def read(cls, path: Path) -> Self:
        """The entries of a file; UnusableFile names the field at fault."""
        try:
            found = cls.model_validate_json(read_file(path))
        except ValidationError as error:
            fault = error.errors(include_url=False, include_input=False)[0]
            field = ".".join(map(str, fault["loc"])) or "the file"
            raise UnusableFile(f"{path} cannot be used: {field}: {fault['msg']}") from error
        if len({entry.id for entry in found.tokens}) < len(found.tokens):
            raise UnusableFile(f"{path} cannot be used: two tokens have the same id")
        return found

    def write(self, path: Path) -> None:
        """Replace a file in one step, so that no process reads half of it; only its owner may read it."""
        unfinished = path.with_name(f"{path.name}.new")
        unfinished.touch(mode=0o600)
        unfinished.write_text(json.dumps(self.model_dump(mode="json", exclude_none=True), indent=2) + "\n")
        unfinished.replace(path)


Entries: TypeAlias = Mapping[str, TokenEntry]
"""The entries of a file by their ids."""


def watched_tokens(path: Path) -> WatchedFiles[Entries]:
    """The entries of a file, which follow it."""
    return WatchedFiles([path], lambda: {entry.id: entry for entry in TokenFile.read(path).tokens})


def watched_token(path: Path) -> WatchedFiles[str]:
    """The text of one token in a file of its own, which follows it."""

    def read() -> str:
        text = read_file(path).decode(errors="replace").strip()
        if not text.isascii() or not text.isprintable() or " " in text or not text:
            raise UnusableFile(f"{path} cannot be used: it does not hold one token")
        return text

    return WatchedFiles([path], read)


def entry_of(token: str, entries: Entries) -> TokenEntry | None:
    """The entry of a token's text. How long that takes tells nothing about the hashes of a file."""
    prefix, _, rest = token.partition("_")
    found = entries.get(rest.partition("_")[0]) if prefix == _PREFIX else None
    expected = found.sha256 if found else "0" * 64
    return found if hmac.compare_digest(_hash(token), expected) else None


def _hash(token: str) -> str:
    # A token has 256 random bits: there is nothing to guess that a slow hash would protect.
    return hashlib.sha256(token.encode(errors="replace")).hexdigest()


def _fits(pattern: str, collection: str) -> bool:
    return collection.startswith(pattern[:-1]) if pattern.endswith("*") else collection == pattern
