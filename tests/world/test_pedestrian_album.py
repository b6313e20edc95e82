"""Drawn pedestrians as a dataset that the published loader reads."""

import json
from pathlib import Path

from training.datasets.pedestrians import load_pedestrians
from world.pedestrian_album import Split, write_pedestrians


def test_the_published_loader_reads_it(tmp_path: Path) -> None:
    """Complete, every image decodable, identities from 1 on and in one split each, two captions an image."""
    splits = (
        Split("train", 3, 4, 3, first_id=1),
        Split("val", 4, 2, 3, first_id=5),
        Split("test", 5, 2, 4, first_id=7),
    )

    write_pedestrians(tmp_path, splits)

    counts = {
        "train images": 12,
        "train captions": 24,
        "train identities": 4,
        "val images": 6,
        "val captions": 12,
        "val identities": 2,
        "test images": 8,
        "test captions": 16,
        "test identities": 2,
    }
    people = load_pedestrians(tmp_path, expected=counts, decode=True)
    assert people.report.is_complete
    assert {image.label for image in people.of("test")} == {6, 7}
    assert all(image.name.startswith("cam_") for image in people.images)


def test_a_person_is_the_same_in_an_album_of_any_size(tmp_path: Path) -> None:
    """What is drawn of person 1 depends on the album's seed and nothing else."""
    for people in (2, 3):
        write_pedestrians(tmp_path / str(people), (Split("test", 5, people, 2, first_id=1),))

    small, large = (json.loads((tmp_path / str(people) / "reid_raw.json").read_text()) for people in (2, 3))
    assert large[: len(small)] == small
    for record in small:
        first, second = (tmp_path / str(people) / "imgs" / record["file_path"] for people in (2, 3))
        assert first.read_bytes() == second.read_bytes()
