"""`fovea reindex`, `fovea scrub` and `fovea collections update` against a real ingest service."""

import json
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from redis import Redis
from typer.testing import CliRunner, Result

from cli.main import app
from tests.support.bundles import tiny_image_bundle
from tests.support.images import encoded, plain
from tests.support.processes import server_process
from tests.support.services import encoder_process


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory, milvus_lite_uri: str, redis_url: str) -> Iterator[str]:
    """Where an ingest service answers that has two encoders of different spaces."""
    home = tmp_path_factory.mktemp("service")
    bundles = tiny_image_bundle(home / "tiny"), tiny_image_bundle(home / "other", "other", seed=8, is_default=True)
    stores = {"milvus_uri": milvus_lite_uri, "redis_url": redis_url}
    with (
        encoder_process(home, *(bundle.folder for bundle in bundles)) as encoder,
        server_process(home, "ingest", encoders=[encoder], uploads=str(home / "uploads"), **stores) as server,
    ):
        yield server.address


def fovea(address: str, *arguments: str) -> Result:
    return CliRunner().invoke(app, [*arguments, "--ingest", address])


def test_a_collection_moves_and_returns(address: str, tmp_path: Path) -> None:
    """The answer names the encoder that is served then; a failure is one line."""
    name = f"r_{uuid.uuid4().hex[:12]}"
    for colour in ("red", "green", "blue"):
        (tmp_path / f"{colour}.png").write_bytes(encoded(plain(colour)))
    fovea(address, "ingest", str(tmp_path), "-c", name, "--create", "--encoder", "tiny", "--copy")

    # Another encoder than the default one was chosen, and is served still.
    assert "fovea reindex" not in fovea(address, "collections", "show", name).stderr
    moved = fovea(address, "reindex", "-c", name, "--json")
    assert moved.exit_code == 0, moved.stderr
    answer = json.loads(moved.stdout)
    assert (answer["encoder"], answer["image_count"]) == ("other", 3)
    assert "fovea reindex" not in fovea(address, "collections", "show", name).stderr
    returned = fovea(address, "reindex", "-c", name, "--rollback")
    assert f"{name} is served with the encoder tiny: 3 images." in returned.stderr
    dropped = fovea(address, "reindex", "-c", name, "--encoder", "tiny", "--drop-old")
    assert dropped.exit_code == 0
    refused = fovea(address, "reindex", "-c", name, "--rollback")
    assert refused.exit_code == 1
    assert "no former embeddings" in refused.stderr
    both = fovea(address, "reindex", "-c", name, "--encoder", "tiny", "--rollback")
    assert both.exit_code == 1


def test_a_damaged_collection_is_reported_and_repaired(address: str, redis_url: str, tmp_path: Path) -> None:
    """Damage that is left is exit code 1; JSON has the counts; a clean collection is one line."""
    name = f"s_{uuid.uuid4().hex[:12]}"
    (tmp_path / "red.png").write_bytes(encoded(plain("red")))
    fovea(address, "ingest", str(tmp_path), "-c", name, "--create", "--encoder", "tiny", "--copy")
    clean = fovea(address, "scrub", "-c", name)
    assert (clean.exit_code, clean.stderr) == (0, "1 image checked: nothing is damaged.\n")
    with Redis.from_url(redis_url) as redis:
        [order] = redis.keys(f"fovea:{{{name}:*:order")
        redis.delete(order)

    reported = fovea(address, "scrub", "-c", name)
    assert reported.exit_code == 1
    assert "wrong counts" in reported.stdout
    assert "--repair repairs" in reported.stderr
    repaired = fovea(address, "scrub", "-c", name, "--repair", "--json")
    assert repaired.exit_code == 0
    found = json.loads(repaired.stdout)
    assert (found["damage_count"], found["repaired_count"], found["checked_count"]) == (1, 1, 1)
    assert found["damages"][0]["damage"] == "wrong counts"


def test_a_collection_is_renamed(address: str) -> None:
    """Each option alone changes one of both names."""
    name = f"n_{uuid.uuid4().hex[:12]}"
    fovea(address, "collections", "create", name, "--encoder", "tiny", "--display-name", "First")
    renamed = fovea(address, "collections", "update", name, "--name", f"{name}_new", "--json")
    assert renamed.exit_code == 0, renamed.stderr
    answer = json.loads(renamed.stdout)
    assert (answer["name"], answer["display_name"]) == (f"{name}_new", "First")
    shown = fovea(address, "collections", "update", f"{name}_new", "--display-name", "Second")
    assert "Second" in shown.stdout
