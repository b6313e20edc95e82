"""Why a store does not answer, in one line for those who run it; callers learn only that it does not."""

import logging
import re
import time

import grpc

from domain.store_urls import StoreUrlError

REPEAT_S = 60.0

_MAX_DETAIL = 300
# What the clients of Redis and Milvus write into their errors, in the order in which it is looked for.
_CAUSES = (
    (r"Failed parsing HTTP/2|http1\.x|Protocol error|UNIMPLEMENTED", "something else answers; compare host and port"),
    (
        r"MovedError|AskError|ClusterDown|CrossSlot|MOVED|CLUSTERDOWN",
        "it runs in cluster mode; write redis+cluster:// in its URL, or give that of a proxy before it",
    ),
    (r"Cluster mode is not enabled", "it does not run in cluster mode; write redis:// in its URL"),
    (
        r"unknown command .?(EXISTS|EVALSHA|HM?GET)",
        "it is a Sentinel; write redis+sentinel://HOST:PORT/NAME as its URL",
    ),
    (r"unknown command .?SENTINEL", "it is not a Sentinel; write redis:// in its URL"),
    (
        r"CERTIFICATE_VERIFY_FAILED|Hostname Verification|is not in peer certificate|certificate verify failed",
        "its certificate is not trusted, or is for another name",
    ),
    (
        r"NOAUTH|WRONGPASS|AuthenticationError|UNAUTHENTICATED|auth check failure|missing authorization|invalid password|username-password",
        "it refuses the user or the password; write them into its URL",
    ),
    (r"NOPERM|NoPermission|PERMISSION_DENIED|permission deny", "its user may not do what Fovea needs"),
    (r"CERTIFICATE_REQUIRED|certificate required", "it wants a certificate of the client; name it in its URL"),
    (r"No master found for '[^']*'(?! :)", "its Sentinels know of no primary of that name that is up"),
    (r"No master found for .*network:", "some of its Sentinels cannot be reached, the others know of no such primary"),
    (r"HTTP proxy", "an HTTP proxy stands in the way; list the host in no_proxy"),
    (r"SSL|TLS|[Hh]andshake", "the TLS handshake failed; compare the URL's scheme with the port"),
    (r"[Nn]ame or service not known|[Nn]ame not found|resolving|[Nn]ame resolution", "its host name is unknown"),
    (r"[Rr]efused|Error 111|Errno 111", "nothing listens at its address: the connection is refused"),
    (r"[Nn]o route|unreachable", "its address cannot be reached from here"),
    (r"LOADING|BusyLoading", "it is still loading its data"),
    (r"READONLY|ReadOnly", "it is a read-only replica; give the URL of the primary"),
    (r"MISCONF|No space left", "it cannot write to its disk"),
    (r"OOM|OutOfMemory|out of memory", "it is out of memory"),
    (r"DB index", "its URL names a database that it does not have"),
    (r"is illegal|URL must specify|Port could not be cast", "its URL cannot be read"),
    (
        r"reset by peer|Socket closed|closed by server",
        "it ends the connection; a port of TLS needs a URL of TLS, and may want a certificate of the client",
    ),
    (r"Errno 2|[Nn]o such file", "a file that its URL names cannot be read"),
    (r"DEADLINE_EXCEEDED|[Tt]imed? ?out", "it does not answer in time"),
)
# How redis-py writes a client into its errors: with the names of all options, `socket_timeout` among them.
_CLIENT = re.compile(r"<redis\..*?>\)>\)>")
_ADDRESS = re.compile(r"ipv[46]:\S+?:\d+\b")

_logger = logging.getLogger(__name__)


def cause_of(error: BaseException) -> str:
    """The cause behind an error, in a sentence without secrets; what is not known is quoted from the store's client."""
    if isinstance(error.__cause__, StoreUrlError):
        return str(error.__cause__)
    detail = _detail(error)
    address = _ADDRESS.search(detail)  # not always the one of the URL: a proxy's, for example
    for pattern, words in _CAUSES:
        if re.search(pattern, detail):
            return f"{words} ({address.group()})" if address else words
    return detail[:_MAX_DETAIL]


class StoreLog:
    """Says once that a store does not answer and why, again when the cause changes or a minute passed, and when it is back."""

    def __init__(self, store: str) -> None:
        self._store = store
        self._cause = ""
        self._said_at_s = 0.0

    def failed(self, error: BaseException) -> None:
        """A call failed for a cause that is the store's, not the request's."""
        cause, now_s = cause_of(error), time.monotonic()
        if cause == self._cause and now_s - self._said_at_s < REPEAT_S:
            return
        self._cause, self._said_at_s = cause, now_s
        extra = {"store": self._store, "detail": _detail(error)[:_MAX_DETAIL]}
        _logger.warning("%s: %s", self._store, cause, extra=extra)

    def answered(self) -> None:
        """A call was answered."""
        if self._cause:
            self._cause = ""
            _logger.info("%s answers again", self._store, extra={"store": self._store})


def _detail(error: BaseException) -> str:
    """What the errors of the chain say, the innermost first, without what stands before an @ in URLs."""
    chain: list[str] = []
    seen: set[int] = set()  # pymilvus raises errors from themselves
    current: BaseException | None = error
    while current is not None and id(current) not in seen:
        seen.add(id(current))
        said = current.details() if isinstance(current, grpc.RpcError) else str(current)
        chain.append(f"{type(current).__name__}: {' '.join((said or '').split())}")
        current = current.__cause__ or current.__context__
    return _CLIENT.sub("", re.sub(r"//[^/@\s]*@", "//…@", "; ".join(reversed(chain))))
