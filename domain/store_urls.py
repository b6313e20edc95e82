"""URLs of stores, which may name several servers: `redis+cluster://user:password@host:6379,other:6379`."""

import re
from dataclasses import dataclass
from typing import Self
from urllib.parse import unquote, urlsplit

_WITH_TOKENS = ("http", "https")  # Milvus takes a token without a user


class StoreUrlError(ValueError):
    """Why a URL cannot be used, in a sentence without secrets."""


@dataclass(frozen=True, slots=True)
class StoreUrl:
    """The parts of a URL; a port of 0 is not given, `login` is what stands before the @."""

    scheme: str
    login: str
    addresses: tuple[tuple[str, int], ...]
    path: str
    query: str

    @classmethod
    def parse(cls, url: str) -> Self:
        """Take a URL apart; StoreUrlError where a host is empty or a port is not a number."""
        try:
            return cls._parse(url)
        except ValueError as error:
            raise StoreUrlError(f"the store's URL cannot be read: {error}") from error

    @classmethod
    def _parse(cls, url: str) -> Self:
        parts = urlsplit(url)
        login, _, hosts = parts.netloc.rpartition("@")
        addresses = tuple(_address(host) for host in hosts.split(",")) if hosts else ()
        return cls(parts.scheme, login, addresses, unquote(parts.path), parts.query)


def without_secrets(url: str) -> str:
    """The same URL with `***` in the place of passwords and tokens; a user's name stays."""
    parts = urlsplit(url)
    login, at, hosts = parts.netloc.rpartition("@")
    user, colon, password = login.partition(":")
    if colon:
        login = f"{user}:***" if password else login
    elif parts.scheme in _WITH_TOKENS:
        login = "***"
    shown = url.replace(f"//{parts.netloc}", f"//{login}@{hosts}", 1) if at else url
    return re.sub(r"(password=)[^&]*", r"\1***", shown)


def _address(text: str) -> tuple[str, int]:
    parts = urlsplit(f"//{text}")  # IPv6 addresses stand in brackets
    if not parts.hostname:
        message = "a host is empty"
        raise ValueError(message)
    return unquote(parts.hostname), parts.port or 0
