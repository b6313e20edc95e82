"""A closed-loop load generator in a process of its own: N callers, each sends its next call when the last is answered.

    python -m benchmarks.load TARGET METHOD REQUESTS --callers 32 --seconds 10 [--every 0.5] [--warm 1] [--priority bulk] [--connections 4]

With `--every` a caller waits so many seconds from one call to the next. REQUESTS is a file of length-delimited (4 bytes, little-endian) serialised requests, sent in turn. Prints one JSON
line: {"calls", "errors", "seconds", "p50_ms", "p99_ms"}.
"""

import argparse
import asyncio
import json
import statistics
import struct
import time
from collections import Counter
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from itertools import cycle
from pathlib import Path

import grpc


@dataclass(slots=True)
class Tally:
    """What the callers saw."""

    durations_s: list[float] = field(default_factory=list)
    errors: Counter[str] = field(default_factory=Counter)


def read_requests(path: Path) -> list[bytes]:
    """The serialised requests of a file."""
    data, requests, at = path.read_bytes(), [], 0
    while at < len(data):
        (size,) = struct.unpack_from("<I", data, at)
        requests.append(data[at + 4 : at + 4 + size])
        at += 4 + size
    return requests


def write_requests(path: Path, requests: list[bytes]) -> None:
    """Writes what `read_requests` reads."""
    path.write_bytes(b"".join(struct.pack("<I", len(request)) + request for request in requests))


async def run(
    target: str,
    method: str,
    requests: list[bytes],
    *,
    callers: int,
    seconds: float,
    every_s: float = 0.0,
    warm_s: float = 0.0,
    priority: str = "interactive",
    connections: int = 1,
) -> dict[str, object]:
    """Keeps `callers` calls under way for `seconds`, after `warm_s` that are left out, and sums up."""
    tally = Tally()
    options = [("grpc.max_send_message_length", 64 << 20), ("grpc.max_receive_message_length", 64 << 20)]
    # Channels with equal options would use one connection together.
    options.append(("grpc.use_local_subchannel_pool", 1))
    async with AsyncExitStack() as stack:
        channels = [
            await stack.enter_async_context(grpc.aio.insecure_channel(target, options=options))
            for _ in range(connections)
        ]
        turn = cycle(requests)
        started_s = time.perf_counter() + warm_s

        async def caller(channel: grpc.aio.Channel) -> None:
            call = channel.unary_unary(method, request_serializer=None, response_deserializer=None)
            while time.perf_counter() - started_s < seconds:
                sent_s = time.perf_counter()
                try:
                    await call(next(turn), timeout=20, metadata=(("fovea-priority", priority),))
                except grpc.aio.AioRpcError as error:
                    tally.errors[error.code().name] += 1
                else:
                    if time.perf_counter() >= started_s:
                        tally.durations_s.append(time.perf_counter() - sent_s)
                await asyncio.sleep(max(0.0, sent_s + every_s - time.perf_counter()))

        await asyncio.gather(*(caller(channels[number % connections]) for number in range(callers)))
        took_s = time.perf_counter() - started_s
    quantiles = statistics.quantiles(tally.durations_s, n=100) if len(tally.durations_s) > 1 else [0.0] * 99
    return {
        "calls": len(tally.durations_s),
        "errors": dict(tally.errors),
        "seconds": took_s,
        "p50_ms": quantiles[49] * 1000,
        "p99_ms": quantiles[98] * 1000,
    }


def main() -> None:
    """Reads the command line, runs, and prints one JSON line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("target")
    parser.add_argument("method")
    parser.add_argument("requests", type=Path)
    parser.add_argument("--callers", type=int, default=32)
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--every", type=float, default=0.0)
    parser.add_argument("--warm", type=float, default=0.0)
    parser.add_argument("--priority", choices=["interactive", "bulk"], default="interactive")
    parser.add_argument("--connections", type=int, default=1)
    arguments = parser.parse_args()
    figures = asyncio.run(
        run(
            arguments.target,
            arguments.method,
            read_requests(arguments.requests),
            callers=arguments.callers,
            seconds=arguments.seconds,
            every_s=arguments.every,
            warm_s=arguments.warm,
            priority=arguments.priority,
            connections=arguments.connections,
        )
    )
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
