"""Where the services answer, and the stubs of a client, made when they are first used."""

import json
from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

import grpc

from fovea.client.calls import Call
from fovea.detector.v1.detector_pb2_grpc import DetectorServiceStub
from fovea.encoder.v1.encoder_pb2_grpc import EncoderServiceStub
from fovea.ingest.v1.ingest_pb2_grpc import IngestServiceStub
from fovea.search.v1.search_pb2_grpc import SearchServiceStub

_DATA = Path("~/.local/share/fovea")


class Connections(ABC):
    """What both clients are made of.

    `search` and `ingest` are gRPC targets such as `dns:///fovea-search:50051`; leave out what is not used. `encoders` is one
    target for all bundles, or one for each by its name. `gateway` is a URL, from which notebooks show thumbnails.
    `metadata` goes with every call, for example an `x-request-id`. Without `credentials` channels are not encrypted.
    """

    def __init__(
        self,
        *,
        search: str = "",
        ingest: str = "",
        encoders: str | Mapping[str, str] = "",
        gateway: str = "",
        timeout_s: float = 10.0,
        credentials: grpc.ChannelCredentials | None = None,
        metadata: Mapping[str, str] | None = None,
    ) -> None:
        self._targets = {SearchServiceStub: search, IngestServiceStub: ingest}
        self._encoders = encoders
        self._gateway = gateway.rstrip("/")
        self._timeout_s = timeout_s
        self._credentials = credentials
        self._metadata = tuple((metadata or {}).items())
        self._channels: dict[str, Any] = {}
        self._stubs: dict[tuple[type, str], Any] = {}

    @classmethod
    def local(cls, data: str | Path = _DATA, **options: Any) -> Self:
        """A client of the `fovea up` that runs on this data folder of this machine; FileNotFoundError where none does."""
        run = json.loads((Path(data).expanduser() / "run.json").read_text())
        return cls(
            search=run["search"], ingest=run["ingest"], encoders=run["encoders"], gateway=run["gateway"], **options
        )

    @staticmethod
    @abstractmethod
    def _open(target: str, credentials: grpc.ChannelCredentials | None) -> Any:
        """A channel to a target."""

    def _method(self, call: Call[Any]) -> Any:
        return getattr(self._stub(call.stub, call.encoder), call.method)

    def _stub(self, kind: type, encoder: str = "") -> Any:
        target = self._encoder(encoder) if kind in {EncoderServiceStub, DetectorServiceStub} else self._targets[kind]
        if not target:
            service = kind.__name__.removesuffix("Stub")
            raise ValueError(f"{service}: the client was made without its target")
        if target not in self._channels:
            self._channels[target] = self._open(target, self._credentials)
        if (kind, target) not in self._stubs:
            self._stubs[kind, target] = kind(self._channels[target])
        return self._stubs[kind, target]

    def _encoder(self, bundle: str) -> str:
        if isinstance(self._encoders, str):
            return self._encoders
        if bundle not in self._encoders:
            served = ", ".join(sorted(self._encoders))
            raise ValueError(
                f"encoder: {bundle!r} is not among {served}" if bundle else f"encoder: name one of {served}"
            )
        return self._encoders[bundle]
