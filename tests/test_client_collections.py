"""What the clients do with whole collections: names, counts of values, moves to another encoder, and scrubbing."""

import uuid
from collections.abc import AsyncIterator, Iterator
from typing import Any

import grpc
import pytest
from redis import Redis

from fovea.client import AsyncClient, Client, FoveaError, Item
from tests.support.bundles import tiny_image_bundle
from tests.support.images import plain
from tests.support.processes import server_process
from tests.support.services import encoder_process

YEARS = {"red": 2023, "green": 2024, "blue": 2024}


@pytest.fixture(scope="module")
def targets(tmp_path_factory: pytest.TempPathFactory, milvus_lite_uri: str, redis_url: str) -> Iterator[dict[str, Any]]:
    """Search and ingest with two encoders of different spaces."""
    home = tmp_path_factory.mktemp("services")
    bundles = tiny_image_bundle(home / "tiny"), tiny_image_bundle(home / "other", "other", seed=8, is_default=True)
    with encoder_process(home, *(bundle.folder for bundle in bundles)) as encoder:
        shared: dict[str, Any] = {"milvus_uri": milvus_lite_uri, "redis_url": redis_url, "encoders": [encoder]}
        with (
            server_process(home, "ingest", uploads=str(home / "uploads"), **shared) as ingest,
            server_process(home, "search", **shared) as search,
        ):
            yield {"search": search.address, "ingest": ingest.address}


@pytest.fixture
def client(targets: dict[str, Any]) -> Iterator[Client]:
    with Client(**targets, timeout_s=30) as opened:
        yield opened


@pytest.fixture
def name(client: Client) -> Iterator[str]:
    """A collection of three images in the space of `tiny`."""
    name = f"c_{uuid.uuid4().hex[:12]}"
    client.create_collection(name, encoder="tiny")
    items = [Item(plain(colour), uri=colour, metadata={"year": year}) for colour, year in YEARS.items()]
    assert [result.error for result in client.ingest(name, items)] == [None] * len(items)
    yield name
    client.delete_collection(name)


def test_a_collection_gets_other_names(client: Client, name: str) -> None:
    """The former name finds it still; what is not given stays."""
    shown = client.update_collection(name, display_name="Holidays")
    renamed = client.update_collection(name, new_name=f"{name}_new")
    found = client.collection(name)
    back = client.update_collection(renamed.name, new_name=name, display_name="")

    assert (shown.name, shown.display_name) == (name, "Holidays")
    assert (renamed.name, renamed.display_name) == (f"{name}_new", "Holidays")
    assert found == renamed
    assert (back.name, back.display_name) == (name, "")


def test_values_are_counted(client: Client, name: str) -> None:
    """Of all images, or of those that match."""
    counts = client.count_facets(name, "year", "$width_px")
    of_one_year = client.count_facets(name, "year", filter="year = 2024")

    assert counts["year"] == {2024: 2, 2023: 1}
    assert list(counts) == ["year", "$width_px"]
    assert (counts.image_count, counts.is_complete, counts.other_counts["year"]) == (3, True, 0)
    assert dict(of_one_year) == {"year": {2024: 2}}


def test_a_collection_moves_and_returns(client: Client, name: str) -> None:
    """The progress ends with all images, and then the other encoder is served; a refusal is raised."""
    *_, moved = client.reindex(name)
    served = client.collection(name).encoder
    list(client.reindex(name, rollback=True))

    assert (moved.done_count, moved.total_count, moved.failed_count) == (3, 3, 0)
    assert served == "other"
    assert client.collection(name).encoder == "tiny"
    with pytest.raises(FoveaError, match="nowhere") as refused:
        list(client.reindex("nowhere"))
    assert refused.value.code is grpc.StatusCode.NOT_FOUND


def test_damage_is_found_and_repaired(client: Client, name: str, redis_url: str) -> None:
    """Each damage is named, once as it stands and once as repaired, and the last progress counts all images."""
    with Redis.from_url(redis_url) as redis:
        redis.delete(*redis.keys(f"fovea:{{{name}:*:order"))

    found = list(client.scrub(name))
    repaired = list(client.scrub(name, repair=True))
    clean = list(client.scrub(name))

    assert {(step.damage, step.repaired) for step in found if step.damage} == {("wrong counts", False)}
    assert {(step.damage, step.repaired) for step in repaired if step.damage} == {("wrong counts", True)}
    assert (clean[-1].damage, clean[-1].checked_count, clean[-1].total_count) == ("", 3, 3)


async def test_event_loops_have_the_same_calls(targets: dict[str, Any], name: str) -> None:
    """Names, counts, a move and a scrub, and a stream that is left early."""

    async def last(steps: AsyncIterator[Any]) -> Any:
        return [step async for step in steps][-1]

    async with AsyncClient(**targets, timeout_s=30) as client:
        shown = await client.update_collection(name, display_name="Holidays")
        counts = await client.count_facets(name, "year")
        moved = await last(client.reindex(name, "other", drop_old=True))
        scrubbed = await last(client.scrub(name, repair=True))
        with pytest.raises(FoveaError, match="NOT_FOUND"):
            await last(client.scrub("nowhere"))

    assert shown.display_name == "Holidays"
    assert counts["year"] == {2024: 2, 2023: 1}
    assert (moved.done_count, scrubbed.checked_count) == (3, 3)
