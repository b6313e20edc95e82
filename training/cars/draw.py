"""Owns which drawn cars are for training, and which for nothing but the final figures."""

from pathlib import Path

from training.cars.config import WorldConfig
from world.car_dataset import Photos, write_cars

# Models that no run trains on. 50 models of 10 makes: 1,000 photos in the gallery, and 500 queries.
HELD_OUT = WorldConfig(seed=7, train_models=0, test_models=50, train=Photos(0, 0, 0), test=Photos(20, 1, 10))


def draw(folder: Path, world: WorldConfig) -> None:
    """Draw training and test split, in the published layout."""
    write_cars(
        folder,
        seed=world.seed,
        train=world.train_numbers,
        test=world.test_numbers,
        train_photos=world.train,
        test_photos=world.test,
    )
