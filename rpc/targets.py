"""Targets: the addresses that they stand for, each a replica, so that every process is judged alone."""

import asyncio
import socket
from collections.abc import Sequence

from rpc.channel import open_channel
from rpc.replicas import Replica
from rpc.security.process import Security
from rpc.tasks import gather

_LISTS = ("ipv4:", "ipv6:")
_NAME = "dns:///"
_RESOLVE_TIMEOUT_S = 2.0


class Targets:
    """The replicas behind targets: one for each address of an `ipv4:` or `ipv6:` list and behind a `dns:///` name.

    gRPC itself would balance over the addresses of a name, but drop one that hangs by keepalive only.
    """

    def __init__(self, targets: Sequence[str], security: Security) -> None:
        self.replicas: Sequence[Replica] = ()
        self._addresses: dict[str, Sequence[str]] = dict.fromkeys(targets, ())
        self._gone: list[Replica] = []
        self._security = security

    async def resolve(self) -> Sequence[Replica]:
        """Find the addresses that the targets stand for now; returns the replicas that are gone.

        No new calls may be given to those: they are closed by a later `resolve`, when their calls are over.
        """
        await self._close_gone()
        await gather(*map(self._resolve, self._addresses))
        known = {replica.target: replica for replica in self.replicas}
        names = {address: _name_of(target) for target, found in self._addresses.items() for address in found}
        self.replicas = [
            known.pop(address) if address in known else self._replica(address, name) for address, name in names.items()
        ]
        self._gone += known.values()
        return list(known.values())

    async def close(self) -> None:
        """Close all channels."""
        for replica in [*self.replicas, *self._gone]:
            await replica.channel.close(None)

    def _replica(self, address: str, name: str) -> Replica:
        # The process at the address has a certificate for the name.
        return Replica(address, open_channel(address, security=self._security, authority=name))

    async def _close_gone(self) -> None:
        idle = [replica for replica in self._gone if not replica.in_flight]
        self._gone = [replica for replica in self._gone if replica not in idle]
        for replica in idle:
            await replica.channel.close(None)

    async def _resolve(self, target: str) -> None:
        try:
            self._addresses[target] = await addresses_of(target)
        except OSError:
            # What it stood for may still answer; a name that was never resolved is left to gRPC, whose error names it.
            self._addresses[target] = self._addresses[target] or (target,)


def _name_of(target: str) -> str:
    """The host and port of a `dns:///` target; empty for others, whose addresses are their names."""
    return target.removeprefix(_NAME) if target.startswith(_NAME) else ""


async def addresses_of(target: str) -> Sequence[str]:
    """The addresses that a target stands for now, as targets themselves; OSError where its name cannot be resolved."""
    for scheme in _LISTS:
        if target.startswith(scheme):
            return [scheme + address.strip() for address in target.removeprefix(scheme).split(",")]
    host, _, port = target.removeprefix(_NAME).rpartition(":")
    if not target.startswith(_NAME) or not port.isdigit():
        return [target]
    loop = asyncio.get_running_loop()
    async with asyncio.timeout(_RESOLVE_TIMEOUT_S):  # TimeoutError is an OSError
        found = await loop.getaddrinfo(host.strip("[]"), int(port), type=socket.SOCK_STREAM)
    # A process often has an address of each family; it would be two replicas.
    ipv4 = [f"ipv4:{address[0]}:{port}" for family, *_, address in found if family is socket.AF_INET]
    ipv6 = [f"ipv6:[{address[0]}]:{port}" for family, *_, address in found if family is socket.AF_INET6]
    return list(dict.fromkeys(ipv4 or ipv6))
