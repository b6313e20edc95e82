"""What the processes of a system inherit from the environment of the command that starts them."""

import os

_LOOPBACK = "localhost,127.0.0.1,::1"
_SERVICE_LINKS = ("tcp://", "udp://", "sctp://")


def inherited_environment() -> dict[str, str]:
    """The environment of this process, without a proxy between the processes and without Kubernetes's service links.

    A service called `fovea-search-metrics` in the same namespace gives every pod FOVEA_SEARCH_METRICS_PORT=tcp://…,
    which is a setting's name and not its value.
    """
    inherited = {name: value for name, value in os.environ.items() if not _is_service_link(name, value)}
    # What is set already may name hosts beyond; gRPC reads its own variable instead of the common one.
    for name in {"no_proxy", "NO_PROXY", "no_grpc_proxy"} & inherited.keys() | {"no_proxy"}:
        inherited[name] = ",".join(filter(None, (inherited.get(name), _LOOPBACK)))
    return inherited


def _is_service_link(name: str, value: str) -> bool:
    return name.startswith("FOVEA_") and value.startswith(_SERVICE_LINKS)
