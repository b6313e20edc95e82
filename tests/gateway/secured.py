"""A whole Fovea whose callers need tokens."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from testbed.servers import milvus_lite_server, redis_server
from tests.gateway.system import System, running_system
from tests.support.images import encoded, plain
from tests.support.tokens import TokenFolder, bearer

OWN, OTHER, MISSING = "a_photos", "b_photos", "b_nothing"
_RIGHTS: dict[str, dict[str, Any]] = {
    "operator": {"collections": {"*": "admin"}, "encode": True, "files": True},
    "reader": {"collections": {"a_*": "read"}},
    "writer": {"collections": {"a_*": "write"}},
    "admin": {"collections": {"a_*": "admin"}},
    "encoder": {"encode": True},
    "eager": {"collections": {"a_*": "read"}, "calls_per_s": 0.2},
}


@dataclass(frozen=True, slots=True)
class Secured:
    """The system and the token of each caller."""

    system: System
    tokens: dict[str, str]

    def http(self, caller: str) -> httpx.Client:
        """A client with a caller's token."""
        headers = dict(bearer(self.tokens[caller])) if caller else {}
        return httpx.Client(base_url=f"{self.system.url}/api/v1", headers=headers, timeout=30)


@contextmanager
def secured_system(folder: Path) -> Iterator[Secured]:
    """Starts it with two collections, each with an image; `a_photos` is the callers' own, `b_photos` is not."""
    file = TokenFolder(folder / "tokens.json")
    tokens = {name: file.add(name, **rights) for name, rights in _RIGHTS.items()}
    (folder / "own").write_text(file.add("services", encode=True))
    with milvus_lite_server() as milvus_uri, redis_server() as redis_url, ExitStack() as stack:
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("FOVEA_TOKENS", str(file.path))
            patch.setenv("FOVEA_TOKEN_FILE", str(folder / "own"))
            system = stack.enter_context(running_system(folder, milvus_uri=milvus_uri, redis_url=redis_url))
        secured = Secured(system, tokens)
        (system.root / "file.png").write_bytes(encoded(plain("green")))
        with secured.http("operator") as http:
            for name in (OWN, OTHER):
                http.post("/collections", json={"name": name, "encoder": "tiny"}).raise_for_status()
                http.post(f"/collections/{name}/images", files=one_image()).raise_for_status()
        yield secured


def one_image() -> dict[str, Any]:
    """A form with an image."""
    return {"images": ("red.png", encoded(plain("red")))}
