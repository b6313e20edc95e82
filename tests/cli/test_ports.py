from cli.ports import free_ports, require_free


def test_free_ports_are_free_and_different() -> None:
    """Every port can be listened on, and lies below those of outgoing connections."""
    ports = free_ports(20)

    assert len(set(ports)) == 20
    assert all(20_000 <= port < 32_000 for port in ports)
    for port in ports:
        require_free(port, "--port")
