"""Tokens on both kinds of server: who is known, what they may, how much of it, and files that change under load."""

import asyncio
import contextlib
import json
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from domain.reasons import CALLER_LIMIT, RATE_LIMIT
from fovea.encoder.v1 import encoder_pb2, encoder_pb2_grpc
from fovea.ingest.v1 import ingest_pb2
from fovea.search.v1 import search_pb2
from rpc.channel import open_channel
from rpc.errors import (
    Overloaded,
    PermissionDenied,
    ServiceError,
    Unauthenticated,
    service_errors,
)
from rpc.security.access import Access, Caller
from rpc.security.process import PLAIN, Security
from rpc.security.rights import NEEDED, OPEN, START_JOB
from rpc.security.settings import SecuritySettings
from rpc.security.tokens import Right, TokenEntry, watched_tokens
from rpc.security.watched_files import UnusableFile
from tests.rpc.conftest import until
from tests.rpc.security.conftest import Serve, encode
from tests.support.tokens import TokenFolder, bearer


@pytest.fixture
def tokens(tmp_path: Path) -> TokenFolder:
    return TokenFolder(tmp_path / "tokens.json")


def secured(tokens: TokenFolder, **settings: Any) -> Security:
    return Security.of(SecuritySettings.model_validate({"tokens": tokens.path} | settings))


async def call(port: int, header: str | None, name: str = "tiny") -> str:
    """Calls Encode with this header."""
    async with open_channel(f"127.0.0.1:{port}") as channel:
        stub = encoder_pb2_grpc.EncoderServiceStub(channel)
        metadata = () if header is None else (("authorization", header),)
        with service_errors("encoder"):
            answer = await stub.Encode(encoder_pb2.EncodeRequest(encoder=name), metadata=metadata, timeout=10)
    return answer.space


async def test_a_token_with_the_right_is_let_in(serve: Serve, tokens: TokenFolder, tmp_path: Path) -> None:
    """In a header of the call, or as the caller's own token from its file."""
    token = tokens.add("caller", encode=True)
    (tmp_path / "token").write_text(f"{token}\n")
    caller = Security.of(SecuritySettings(token_file=tmp_path / "token"))

    async with serve(secured(tokens)) as port:
        assert await call(port, f"Bearer {token}") == "tiny"
        assert await call(port, f"bearer  {token}") == "tiny"
        assert await encode(f"127.0.0.1:{port}", caller) == "tiny"


async def test_who_is_not_known_is_refused(serve: Serve, tokens: TokenFolder) -> None:
    """Whatever is sent instead of a token, with one message for what is wrong and none for what would be right."""
    token = tokens.add("caller", encode=True)
    former = tokens.add("former", encode=True, expires=datetime(2026, 1, 1, tzinfo=UTC))
    other = TokenEntry.new(encode=True)[0]
    _, token_id, secret = token.split("_", maxsplit=2)

    async with serve(secured(tokens)) as port:
        for header, complaint in (
            (None, "send `Bearer`"),
            ("", "send `Bearer`"),
            (token, "send `Bearer`"),
            (f"Basic {token}", "send `Bearer`"),
            ("Bearer", "send `Bearer`"),
            ("Bearer x", "not known"),
            (f"Bearer {other}", "not known"),
            (f"Bearer {token}x", "not known"),
            (f"Bearer {token[:-1]}", "not known"),
            (f"Bearer fovea_{token_id}_", "not known"),
            (f"Bearer fovea_{'0' * 12}_{secret}", "not known"),
            (f"Bearer {tokens.entries['caller'].sha256}", "not known"),
            (f"Bearer {token} {token}", "not known"),
            (f"Bearer {former}", "expired"),
        ):
            with pytest.raises(Unauthenticated, match=complaint):
                await call(port, header)


async def test_a_token_without_the_right_is_refused(serve: Serve, tokens: TokenFolder) -> None:
    """Rights to collections are none to encoders."""
    token = tokens.add("reader", collections={"*": "admin"})

    async with serve(secured(tokens)) as port:
        with pytest.raises(PermissionDenied, match="encoders"):
            await call(port, f"Bearer {token}")


async def test_health_and_reflection_need_no_token(serve: Serve, tokens: TokenFolder) -> None:
    """Probes and load balancers have none."""
    async with serve(secured(tokens)) as port, grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        request = health_pb2.HealthCheckRequest(service="readiness")
        answer = await health_pb2_grpc.HealthStub(channel).Check(request, timeout=10)

    assert answer.status == health_pb2.HealthCheckResponse.SERVING


async def test_calls_a_second_are_limited_for_each_token(serve: Serve, tokens: TokenFolder) -> None:
    """One token's calls take nothing from another one's, and the refusal says how long to wait."""
    eager = tokens.add("eager", encode=True, calls_per_s=0.2)
    other = tokens.add("other", encode=True, calls_per_s=0.2)

    async with serve(secured(tokens)) as port:
        refusal: ServiceError | None = None
        for _ in range(10):
            try:
                await call(port, f"Bearer {eager}")
            except Overloaded as error:
                refusal = error
        assert await call(port, f"Bearer {other}") == "tiny"

    assert refusal is not None
    assert refusal.reason == RATE_LIMIT
    assert refusal.retry_after_s is not None
    assert 0 < refusal.retry_after_s <= 5


async def test_calls_at_once_are_limited_for_each_token(serve: Serve, tokens: TokenFolder) -> None:
    """A token with slow calls leaves room for others."""
    slow = tokens.add("slow", encode=True, calls_at_once=1)
    other = tokens.add("other", encode=True)

    async with serve(secured(tokens)) as port:
        waiting = asyncio.create_task(call(port, f"Bearer {slow}", "wait"))
        refusal = await _refusal(port, slow)
        assert await call(port, f"Bearer {other}") == "tiny"
        waiting.cancel()

    assert refusal.reason == CALLER_LIMIT


async def test_tokens_change_under_load(serve: Serve, tokens: TokenFolder, tmp_path: Path) -> None:
    """A caller moves from a token to its successor without a failed call; the former one is refused then."""
    former = tokens.add("former", encode=True)
    own = tmp_path / "token"
    own.write_text(former)
    caller = Security.of(SecuritySettings(token_file=own))
    calls, stopping = 0, asyncio.Event()

    async with serve(secured(tokens)) as port:

        async def load() -> None:
            nonlocal calls
            async with open_channel(f"127.0.0.1:{port}", security=caller) as channel:
                stub = encoder_pb2_grpc.EncoderServiceStub(channel)
                while not stopping.is_set():
                    await stub.Encode(encoder_pb2.EncodeRequest(encoder="tiny"), timeout=10)
                    calls += 1

        async with asyncio.TaskGroup() as group:
            for _ in range(2):
                group.create_task(load())
            successor = tokens.add("successor", encode=True)
            await _until_known(port, successor)
            own.write_text(successor)
            assert caller.own_token is not None
            await until(lambda: caller.own_token.get() == successor)  # type: ignore[union-attr]
            tokens.revoke("former")
            assert isinstance(await _refusal(port, former), Unauthenticated)
            stopping.set()

    assert calls > 50


async def _until_known(port: int, token: str) -> None:
    async with asyncio.timeout(20):
        while True:
            with contextlib.suppress(Unauthenticated):
                await call(port, f"Bearer {token}")
                return


async def _refusal(port: int, token: str) -> ServiceError:
    """What the first call that is refused raises."""
    async with asyncio.timeout(20):
        while True:
            try:
                await call(port, f"Bearer {token}")
            except ServiceError as error:
                return error


_ENTRY = {"id": "00000000", "sha256": "0" * 64}


@pytest.mark.parametrize(
    ("entries", "complaint"),
    [
        (None, "the file: Invalid JSON"),
        ([{}], "tokens.0.id: Field required"),
        ([_ENTRY | {"sha256": "x"}], "tokens.0.sha256"),
        ([_ENTRY | {"admin": True}], "tokens.0.admin"),
        ([_ENTRY | {"collections": {"x": "own"}}], "collections.x"),
        ([_ENTRY | {"collections": {"*x": "read"}}], "collections"),
        ([_ENTRY, _ENTRY | {"sha256": "1" * 64}], "same id"),
    ],
)
def test_a_token_file_that_cannot_be_used_is_named(tmp_path: Path, entries: object, complaint: str) -> None:
    """A process does not start with it; the line says which field is wrong, and has no value of it."""
    file = tmp_path / "tokens.json"
    file.write_text("" if entries is None else json.dumps({"tokens": entries}))

    with pytest.raises(UnusableFile, match=re.escape(complaint)) as refused:
        Security.of(SecuritySettings(tokens=file))
    assert "own" not in str(refused.value)


def test_every_method_needs_a_right() -> None:
    """A method that a new release adds is refused to tokens until it has its line, and this test asks for it."""
    services = [
        *search_pb2.DESCRIPTOR.services_by_name.values(),
        *ingest_pb2.DESCRIPTOR.services_by_name.values(),
    ]
    methods = {f"/{service.full_name}/{method.name}" for service in services for method in service.methods}

    assert methods == {name for name in {*NEEDED, *OPEN, START_JOB} if name.startswith("/fovea.")}
    with pytest.raises(PermissionDenied):
        Caller(TokenEntry.new(collections={"*": "admin"})[1]).check("/fovea.ingest.v1.IngestService/Unheard", None)


def test_rights_include_smaller_ones_and_hold_for_the_names_they_name() -> None:
    """`a_*` is every name that begins so; a name alone is one collection; no pattern is none."""
    caller = Caller(TokenEntry.new(collections={"a_*": "read", "a_own": "admin", "b": "write"})[1])

    assert [caller.entry.right_to(name) for name in ("a_x", "a_own", "b", "b_x", "a", "", "*", "A_X")] == [
        *(Right.READ, Right.ADMIN, Right.WRITE, 0, 0, 0, 0, 0)
    ]


def test_limits_outlive_a_change_of_other_tokens(tokens: TokenFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that is written again gives nobody new calls, and what is held is bounded by its entries."""
    monkeypatch.setattr("rpc.security.watched_files._PERIOD_S", 0.0)
    eager = bearer(tokens.add("eager", calls_per_s=0.01))[0][1]
    access = Access(watched_tokens(tokens.path))
    access.caller(eager)

    for number in range(20):
        tokens.add(f"other-{number % 3}")
        with pytest.raises(Overloaded):
            access.caller(eager)
    assert len(access._held[1]) == len(tokens.entries)


def test_a_process_that_others_could_call_needs_protection(tmp_path: Path, tokens: TokenFolder) -> None:
    """On addresses of this machine alone it needs none; elsewhere TLS and knowing who calls, or the operator's word."""
    for address in ("127.0.0.1:0", "localhost:0", "[::1]:0", "127.1.2.3:0", "unix:/tmp/x"):
        PLAIN.require_protected_server("FOVEA_SEARCH_ADDRESS", address)
    trusting = Security.of(SecuritySettings(trusted_network=True))
    for address in ("0.0.0.0:0", "[::]:0", ":0", "10.0.0.1:0", "search.example:0"):
        trusting.require_protected_server("FOVEA_SEARCH_ADDRESS", address)
        with pytest.raises(SystemExit, match=r"FOVEA_SEARCH_ADDRESS.*without TLS and without tokens.*TRUSTED_NETWORK"):
            PLAIN.require_protected_server("FOVEA_SEARCH_ADDRESS", address)
        with pytest.raises(SystemExit, match="without TLS;"):
            secured(tokens).require_protected_server("FOVEA_SEARCH_ADDRESS", address)
