"""Services that a server offers after it has opened its port, and withdraws before it closes it."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

import grpc

from domain.reasons import SHUTTING_DOWN, STARTING
from rpc.errors import Unavailable

_Handler: TypeAlias = "grpc.RpcMethodHandler[Any, Any]"


class OfferedServices(grpc.GenericRpcHandler):  # type: ignore[type-arg]
    """The methods of named services: UNAVAILABLE until they are offered, and once they are withdrawn.

    gRPC takes no services once a server runs, and a process must answer health while it still loads or waits. Generated
    code registers its methods here in place of a server.
    """

    def __init__(self, services: Sequence[str]) -> None:
        self._services = services
        self._handlers: dict[str, _Handler] = {}
        self._refusal: _Handler | None = _refusing("this process is starting; send again", STARTING)

    def add_generic_rpc_handlers(self, generic_handlers: Sequence[Any]) -> None:
        """Nothing: generated code passes the same methods to `add_registered_method_handlers`."""

    def add_registered_method_handlers(self, service: str, handlers: Mapping[str, _Handler]) -> None:
        """Take the methods of one service."""
        self._handlers |= {f"/{service}/{name}": handler for name, handler in handlers.items()}

    def offer(self, register: Callable[[Any], None]) -> None:
        """Serve from now on what `register` adds."""
        register(self)
        self._refusal = None

    def withdraw(self) -> None:
        """Refuse calls from now on; those that run go on."""
        self._refusal = _refusing("this process is stopping; send again", SHUTTING_DOWN)

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> "_Handler | None":
        """The handler of a method; None, which becomes UNIMPLEMENTED, where the services have no such method."""
        method = handler_call_details.method
        if self._refusal is not None and method.split("/")[1] in self._services:
            return self._refusal
        return self._handlers.get(method)


def _refusing(message: str, reason: str) -> _Handler:
    def refuse(_: Any, __: Any) -> Any:
        raise Unavailable(message, reason=reason)

    return grpc.unary_unary_rpc_method_handler(refuse)
