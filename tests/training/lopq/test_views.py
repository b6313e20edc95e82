import shutil
from pathlib import Path

import numpy as np
import pytest

from encoders.bundle import Bundle
from tests.support.realdata import write_small_realdata
from training.lopq.views import ViewEmbeddings, embed_views


@pytest.fixture(scope="module")
def realdata(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """16 photos for the base and 8 that are only asked for."""
    return write_small_realdata(tmp_path_factory.mktemp("realdata"))


@pytest.fixture(scope="module")
def general() -> Bundle:
    return Bundle.load(Path("models/general-2"))


@pytest.fixture(scope="module")
def views(general: Bundle, realdata: Path, tmp_path_factory: pytest.TempPathFactory) -> ViewEmbeddings:
    return embed_views(general, realdata, tmp_path_factory.mktemp("cache"), count=48, queries=20, threads=1)


def test_views_are_many_and_different(views: ViewEmbeddings, general: Bundle) -> None:
    """As many as were asked for, of unit length, seven in ten of photos, no two alike."""
    assert views.base.shape == (48, general.dimension)
    assert views.queries.shape == (20, general.dimension)
    assert views.photos == 0.7
    np.testing.assert_allclose(np.linalg.norm(views.base, axis=1), 1, atol=1e-5)
    assert len(np.unique(views.base, axis=0)) == 48


def test_half_of_the_queries_show_images_of_the_base(views: ViewEmbeddings) -> None:
    """Their nearest neighbours are other views of the same image; the rest have none as near."""
    nearest = (views.queries @ views.base.T).max(axis=1)

    assert np.median(nearest[:10]) > np.median(nearest[10:])


def test_threads_change_no_view(views: ViewEmbeddings, general: Bundle, realdata: Path, tmp_path: Path) -> None:
    """Each image has random numbers of its own."""
    again = embed_views(general, realdata, tmp_path, count=48, queries=20, threads=3)

    np.testing.assert_allclose(again.base, views.base, atol=1e-5)


def test_what_was_embedded_is_kept(general: Bundle, realdata: Path, tmp_path: Path) -> None:
    """The second call reads the file, whatever is in it by then."""
    first = embed_views(general, realdata, tmp_path, count=20, queries=4, threads=1)
    (kept,) = tmp_path.iterdir()
    changed = np.array(first.base)
    changed[0] = 0
    np.save(kept / "base.npy", changed)

    assert not embed_views(general, realdata, tmp_path, count=20, queries=4).base[0].any()


def test_without_photos_all_views_are_of_drawn_scenes(general: Bundle, tmp_path: Path) -> None:
    """So the figures can be made anywhere."""
    views = embed_views(general, tmp_path / "nowhere", tmp_path, count=30, queries=4, threads=1)

    assert views.base.shape == (30, general.dimension)
    assert views.photos == 0


def test_a_run_that_was_cut_off_is_begun_again(general: Bundle, tmp_path: Path) -> None:
    """Only a complete folder has the final name."""
    embed_views(general, tmp_path / "nowhere", tmp_path, count=15, queries=2, threads=1)
    (kept,) = tmp_path.iterdir()
    shutil.copytree(kept, kept.with_name(f"{kept.name}.unfinished"))
    shutil.rmtree(kept)

    assert embed_views(general, tmp_path / "nowhere", tmp_path, count=15, queries=2, threads=1).base.shape[0] == 15
    assert [folder.name for folder in tmp_path.iterdir()] == [kept.name]
