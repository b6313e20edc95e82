"""The port that fronts share: a stranger's is refused, and a stranger is refused."""

import socket

import pytest

from services.encoder.fronts.port import shared_port


def listening(address: str, *, reuse_port: bool) -> socket.socket:
    """A program that listens on an address."""
    host, _, port = address.rpartition(":")
    return socket.create_server((host, int(port)), reuse_port=reuse_port)


@pytest.mark.parametrize("reuse_port", [False, True])
def test_a_port_that_someone_listens_on_is_refused(*, reuse_port: bool) -> None:
    """Also where that one would let it be shared: it is another program."""
    with listening("127.0.0.1:0", reuse_port=reuse_port) as stranger:
        port = stranger.getsockname()[1]
        with pytest.raises(OSError, match=f"cannot listen on 127.0.0.1:{port}: the port is taken"):
            shared_port(f"127.0.0.1:{port}").__enter__()


@pytest.mark.parametrize("address", ["127.0.0.1:0", "localhost:0", "0.0.0.0:0"])
def test_several_listen_on_a_held_port(address: str) -> None:
    """Port 0 becomes a free one, which more than one process can listen on, and nobody else."""
    with shared_port(address) as held:
        assert not held.endswith(":0")
        with (
            listening(held, reuse_port=True),
            listening(held, reuse_port=True),
            pytest.raises(OSError, match="in use"),
        ):
            listening(held, reuse_port=False)


@pytest.mark.parametrize("address", ["unix:/tmp/encoder", "192.0.2.1:8001", "no-such-host.invalid:8001"])
def test_an_address_that_is_not_a_port_of_this_machine_is_refused(address: str) -> None:
    """In one line that names it."""
    with pytest.raises(OSError, match=f"cannot listen on {address}"):
        shared_port(address).__enter__()
