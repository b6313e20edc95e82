import signal
from collections.abc import Iterator

import pytest

from testbed.servers import milvus_lite_server, milvus_standalone_server, redis_server


@pytest.fixture(autouse=True, scope="session")
def interruptible() -> None:
    """Children end at SIGINT as they do at a terminal: a shell's background jobs ignore it, and would hand that on."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def redis_url() -> Iterator[str]:
    """A real Redis that the whole run shares: use names of your own."""
    with redis_server() as url:
        yield url


@pytest.fixture(scope="session")
def milvus_lite_uri() -> Iterator[str]:
    """A Milvus Lite that the whole run shares: use collections of your own."""
    with milvus_lite_server() as uri:
        yield uri


@pytest.fixture(scope="session")
def milvus_standalone_uri() -> Iterator[str]:
    """The real Milvus server, which the whole run shares: use collections of your own."""
    with milvus_standalone_server() as uri:
        yield uri
