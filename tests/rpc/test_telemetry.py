import socket

import httpx
import pytest

from rpc.telemetry import start_metrics
from testbed.servers import free_port


def test_metrics_listen_where_the_process_listens() -> None:
    """A process on loopback shows its metrics there and at no other address of the machine."""
    port = free_port()

    start_metrics("127.0.0.1:0", port)

    assert "fovea_requests_total" in httpx.get(f"http://127.0.0.1:{port}/metrics", trust_env=False).text
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.2", port), timeout=5)


@pytest.mark.parametrize("address", ["0.0.0.0:50051", "localhost:50051", "[::1]:50051"])
def test_any_form_of_address_is_understood(address: str) -> None:
    """Names, all addresses and IPv6 included."""
    port = free_port()

    start_metrics(address, port)

    host = address.rpartition(":")[0]
    assert httpx.get(f"http://{host}:{port}/metrics", trust_env=False).status_code == 200
