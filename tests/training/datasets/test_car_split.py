import numpy as np
import pytest

from training.datasets.car_split import labels_by_appearance, split_cars


def test_the_first_seventh_of_each_class_validates() -> None:
    """In the database's order, whatever other classes stand between; a class of six gives none."""
    split = split_cars([5, 8, *[5] * 13, *[8] * 5], ratio=7, min_count=1)

    assert np.flatnonzero(split.is_validation).tolist() == [0, 2]
    assert split.is_train.sum() == 18
    assert not split.is_minor.any()


def test_minor_classes_train_but_are_not_judged() -> None:
    """Fifty-eight photos are enough, fifty-seven are not; their queries from outside are not asked either."""
    split = split_cars([3] * 58 + [4] * 57)

    assert split.minor_classes.tolist() == [4]
    assert np.flatnonzero(split.is_minor).tolist() == list(range(58, 115))
    assert split.is_validation.sum() == 16
    assert np.flatnonzero(split.is_validation_query).tolist() == list(range(8))
    assert split.is_train[66:].all()
    assert split.is_test_query([3, 4, 3]).tolist() == [True, False, True]


def test_a_ratio_of_one_is_refused() -> None:
    """It would hold back everything."""
    with pytest.raises(ValueError, match="at least 2"):
        split_cars([1, 2], ratio=1)


def test_models_are_numbered_as_they_appear() -> None:
    """Which is reproducible because the database is sorted."""
    assert labels_by_appearance([77, 5, 77, 9]) == {77: 0, 5: 1, 9: 2}
