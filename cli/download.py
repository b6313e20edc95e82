"""Model files from the web: over https, of bounded size, and never read before their SHA-256 is right."""

import hashlib
import re
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path

import httpx
from rich.progress import BarColumn, DownloadColumn, TextColumn, TimeRemainingColumn

from cli.errors import CommandFailed
from cli.output import progress_bar

TIMEOUT_S = 10.0
MAX_BYTES = 4 * 2**30
MAX_REDIRECTS = 5

_SHA256 = re.compile(r"[0-9a-f]{64}")
_UNSAFE = re.compile(r"[^A-Za-z0-9._-]+")
_LONGEST_NAME = 100


@dataclass(frozen=True, slots=True)
class WebFile:
    """An address, the SHA-256 of the file there, and its largest size.

    The operator gives the address, so hosts of any network are allowed, over https; over http only this machine itself.
    """

    url: str
    sha256: str
    max_bytes: int = MAX_BYTES

    def __post_init__(self) -> None:
        _require_allowed(_parsed(self.url), from_here=True)
        if not _SHA256.fullmatch(self.sha256):
            raise CommandFailed("a file from the web needs --sha256: 64 hex digits, from its publisher")

    @property
    def name(self) -> str:
        """The last part of the address as a file name without special characters."""
        plain = _UNSAFE.sub("_", _parsed(self.url).path.rpartition("/")[2])
        return plain[-_LONGEST_NAME:].lstrip(".-") or "model"

    def download(self, folder: Path, *, transport: httpx.BaseTransport | None = None) -> Path:
        """Write the file to a temporary folder of the caller; `CommandFailed` says in one line why that failed.

        `transport` replaces the network.
        """
        path, url = folder / self.name, _parsed(self.url)
        is_here = _is_this_machine(url.host)
        client = httpx.Client(
            timeout=TIMEOUT_S,
            headers={"Accept-Encoding": "identity"},
            follow_redirects=True,
            max_redirects=MAX_REDIRECTS,
            # Called for every redirect too: none may leave https, or lead from another host to this machine.
            event_hooks={"request": [lambda request: _require_allowed(request.url, from_here=is_here)]},
            # No web proxy for requests to this machine itself.
            mounts={f"all://{url.netloc.decode()}": None} if is_here else None,
            transport=transport,
        )
        try:
            with client, client.stream("GET", self.url) as response:
                self._save(response, path)
        except httpx.HTTPError as error:
            raise CommandFailed(
                f"{self.url} cannot be fetched ({_reason(error)}): check the connection, "
                "or bring the file and use `fovea models import`"
            ) from error
        except OSError as error:
            raise CommandFailed(f"{path} cannot be written: {error.strerror}") from error
        return path

    def _save(self, response: httpx.Response, path: Path) -> None:
        if response.status_code != httpx.codes.OK:
            raise CommandFailed(f"{self.url} answered {response.status_code} {response.reason_phrase}")
        digest, size = hashlib.sha256(), 0
        announced = int(response.headers.get("Content-Length", 0))
        self._require_fits(announced)
        columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TimeRemainingColumn())
        with path.open("wb") as out, progress_bar(*columns) as progress:
            task = progress.add_task(path.name, total=announced or None)
            for part in response.iter_raw(2**20):
                size += len(part)
                self._require_fits(size)
                digest.update(part)
                out.write(part)
                progress.update(task, completed=size)
        if digest.hexdigest() != self.sha256:
            raise CommandFailed(f"{self.url} is another file: its SHA-256 is {digest.hexdigest()}, not {self.sha256}")

    def _require_fits(self, size: int) -> None:
        if size > self.max_bytes:
            raise CommandFailed(f"{self.url} is another file: it has more than {self.max_bytes:,} bytes")


def _parsed(url: str) -> httpx.URL:
    try:
        return httpx.URL(url)
    except httpx.InvalidURL as error:
        raise CommandFailed(f"{url} is not an address: {error}") from error


def _require_allowed(url: httpx.URL, *, from_here: bool) -> None:
    if not url.host:
        raise CommandFailed(f"{url} names no host")
    if url.userinfo:
        raise CommandFailed(f"the address at {url.host} holds a name or a password: fetch that file yourself")
    if url.scheme != "https" and not (url.scheme == "http" and from_here and _is_this_machine(url.host)):
        raise CommandFailed(f"{url} is not fetched: only https is, and http from this machine itself")


def _is_this_machine(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _reason(error: httpx.HTTPError) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
