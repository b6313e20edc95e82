"""Who calls, and what they may: asked by the interceptors of gRPC servers and by the gateway, decided here alone."""

from collections.abc import AsyncIterator, Iterable, Iterator
from contextvars import ContextVar
from pathlib import Path
from typing import Any

from domain.reasons import CALLER_LIMIT, RATE_LIMIT
from rpc.errors import PermissionDenied, ServiceError, Unauthenticated
from rpc.permits import Permit, Permits, refusal
from rpc.security.call_rate import CallRate
from rpc.security.rights import ENCODING, INGEST, LIST_COLLECTIONS, NEEDED, NEEDED_BY_WORK, OPEN, START_JOB
from rpc.security.tokens import Entries, Right, TokenEntry, entry_of
from rpc.security.watched_files import WatchedFiles

AUTHORIZATION = "authorization"

_SCHEME = "bearer "
_NO_LIMIT = 1 << 30
_ALL = {"collections": {"*": Right.ADMIN}, "encode": True, "files": True, "calls_at_once": _NO_LIMIT}


class Caller:
    """What one token may do, and how much of it is left."""

    def __init__(self, entry: TokenEntry) -> None:
        self.entry = entry
        self._rate = CallRate(entry.calls_per_s)
        message = f"this token may have {entry.calls_at_once} calls at once; send again a little later"
        self._permits = Permits(entry.calls_at_once, reason=CALLER_LIMIT, message=message)

    def has(self, right: Right, collection: str) -> bool:
        """Whether the caller has a right to a collection."""
        return self.entry.right_to(collection) >= right

    def require(self, right: Right, collection: str) -> None:
        """PermissionDenied unless the caller has a right to a collection, whether or not there is one."""
        if not self.has(right, collection):
            raise PermissionDenied(f"collection: this token may not {_DEEDS[right]} {collection!r}")

    def require_files(self) -> None:
        """PermissionDenied unless the caller may name files below the image roots."""
        if not self.entry.files:
            raise PermissionDenied("item.uri: this token may not name files; send the image's bytes")

    def acquire(self) -> Permit:
        """A permit for one call; Overloaded where the caller has too many already."""
        return self._permits.acquire()

    def check(self, method: str, request: Any) -> None:
        """PermissionDenied unless the caller may send this request, of a stream its first message."""
        if method in OPEN:
            return
        if method.startswith(ENCODING):
            if not self.entry.encode:
                raise PermissionDenied("this token may not call encoders and detectors")
            return
        needed = NEEDED.get(method)
        if method == START_JOB:
            work = request.WhichOneof("work")
            needed, request = NEEDED_BY_WORK.get(work), getattr(request, work or "ingest")
            if work == "ingest":
                self.require_files()
        if needed is None:
            raise PermissionDenied("no token may send this")
        for collection in needed.collections(request):
            self.require(needed.right, collection)

    async def checked(self, method: str, requests: AsyncIterator[Any]) -> AsyncIterator[Any]:
        """The messages of a stream; each counts as a call, for which the stream waits where none is left."""
        async for request in requests:
            if method == INGEST and _names_file(request.item):
                self.require_files()
            await self._rate.wait()
            yield request
            del request  # it may hold a whole image, which is not needed while the next one is awaited

    def checked_in_thread(self, method: str, requests: Iterator[Any]) -> Iterator[Any]:
        """The same on a thread, for streams whose messages are requests of their own."""
        for request in requests:
            self.check(method, request)
            self._rate.wait_in_thread()
            yield request

    def shown(self, method: str, response: Any) -> Any:
        """The answer as far as the caller may read it."""
        if method != LIST_COLLECTIONS:
            return response
        readable = [each for each in response.collections if self.has(Right.READ, each.name)]
        # What else it says, of all collections together, is for those who may read all.
        return response if len(readable) == len(response.collections) else type(response)(collections=readable)

    def count(self) -> None:
        """Count one call; Overloaded where the caller has made too many, with the time to wait."""
        if wait_s := self._rate.take():
            message = f"this token may make {self.entry.calls_per_s:g} calls a second; send again a little later"
            raise refusal(RATE_LIMIT, message, retry_after_s=wait_s)


def _names_file(item: Any) -> bool:
    """Whether an item is to be read on the server; what is behind an https URL is not."""
    return bool(item.uri) and not item.HasField("image") and item.uri[:8].lower() != "https://"


_DEEDS = {Right.READ: "read", Right.WRITE: "write to", Right.ADMIN: "administer"}


class Access:
    """The callers that a token file names; without a file everybody may do everything."""

    def __init__(self, tokens: WatchedFiles[Entries] | None = None) -> None:
        self._tokens = tokens
        self._held: tuple[Entries, dict[str, Caller]] = {}, {}

    @property
    def needs_tokens(self) -> bool:
        """Whether callers need one."""
        return self._tokens is not None

    @property
    def path(self) -> Path | None:
        """The token file, where there is one."""
        return self._tokens.paths[0] if self._tokens else None

    def caller(self, authorization: str) -> Caller:
        """Who sends this header, counted as one call; Unauthenticated or Overloaded."""
        if self._tokens is None:
            return ANYONE
        if not authorization[: len(_SCHEME)].lower() == _SCHEME:
            raise Unauthenticated("authorization: send `Bearer` and a token; commands take it from FOVEA_TOKEN_FILE")
        entries = self._tokens.get()
        entry = entry_of(authorization[len(_SCHEME) :].strip(), entries)
        if entry is None:
            raise Unauthenticated("authorization: this token is not known")
        if entry.is_over:
            raise Unauthenticated("authorization: this token has expired")
        caller = self._caller(entry, entries)
        caller.count()
        return caller

    def caller_or_error(self, metadata: Iterable[tuple[str, Any]] | None) -> Caller | ServiceError:
        """Who sends this gRPC metadata, or the error of the call."""
        try:
            return self.caller(next((str(value) for key, value in metadata or () if key == AUTHORIZATION), ""))
        except ServiceError as error:
            return error

    def _caller(self, entry: TokenEntry, entries: Entries) -> Caller:
        """The caller of an entry, whose limits go on as long as the entry stays the same."""
        held, callers = self._held
        if held is not entries:
            callers = {
                token_id: callers[token_id] if held.get(token_id) == each else Caller(each)
                for token_id, each in entries.items()
            }
            self._held = entries, callers
        return callers[entry.id]


ANYONE = Caller(TokenEntry(id="0" * 8, sha256="0" * 64, **_ALL))
EVERYBODY = Access()
CALLER: ContextVar[Caller] = ContextVar("caller", default=ANYONE)
"""Who sent the call that is being answered on an event loop, for what no request names: a job is found by its id."""
