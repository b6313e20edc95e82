"""The demo: what it ships, and that its answers are right."""

from pathlib import Path

import pytest

from cli.demo_albums import DemoAlbums
from tests.cli.running import fovea_process

PHOTOS = Path(__file__).parents[2] / "cli" / "photos"
MOST_BYTES = 5_000_000


def test_the_photos_are_few_and_their_origin_is_named(tmp_path: Path) -> None:
    """Each photo has one line with its origin, and each origin its licence; they take less than 5 MB."""
    album = DemoAlbums.copied(tmp_path).photos

    assert sorted(entry["file"] for entry in album.about) == sorted(path.name for path in PHOTOS.glob("*.jpg"))
    assert sum(path.stat().st_size for path in PHOTOS.rglob("*.*")) < MOST_BYTES
    attribution = (PHOTOS / "ATTRIBUTION.md").read_text()
    for entry in album.about:
        source, _, name = entry["origin"].partition(" ")
        assert source in attribution
        assert name
        assert set(entry["metadata"]) == {"kind", "from"}


def test_what_is_asked_with_is_not_among_the_images(tmp_path: Path) -> None:
    """A query that is found because it was ingested shows nothing."""
    album = DemoAlbums.copied(tmp_path).photos
    asked = {entry["file"] for entry in album.about if entry.get("is_query")}

    assert asked
    assert asked.isdisjoint(path.name for path in album.files)
    assert len(album.files) == len(album.metadata) == len(album.about) - len(asked)
    assert album.showing(kind="carrot") == {"carrot-1.jpg"}


@pytest.mark.more
def test_the_answers_of_the_demo_are_right(tmp_path: Path) -> None:
    """`fovea demo --once` starts what ships in an empty folder, asks, and says that all answers are right."""
    done = fovea_process("demo", "--once", "--data", tmp_path / "data")

    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    assert "All answers are right." in done.stderr
