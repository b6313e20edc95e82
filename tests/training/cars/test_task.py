from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional

from training.cars.augmentation import augmented
from training.cars.config import AugmentationConfig, CarsConfig, InputConfig, LossConfig, WorldConfig
from training.cars.photos import TrainingPhotos, load_test_photos, load_training_photos
from training.cars.task import CarsTask
from training.config import read_config
from training.models.compcars import CompCarsConfig
from training.optimiser import OptimiserConfig
from world.car_dataset import Photos, write_cars

CONFIG = CarsConfig(
    seed=7,
    trained_on="a few drawn cars",
    world=WorldConfig(seed=3, train_models=6, test_models=2, train=Photos(7, 0, 1), test=Photos(3, 0, 1)),
    input=InputConfig(size_px=(48, 40)),
    network=CompCarsConfig("resnet18", width=0.125),
    optimiser=OptimiserConfig(
        epochs=1, batch=12, learning_rate=1e-3, weight_decay=0.0, average_decay=0.5, warmup_epochs=0.5
    ),
    loss=LossConfig(n_pair=1, negatives=5, road=0.5, temperature=0.1),
)


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder, world = tmp_path_factory.mktemp("cars"), CONFIG.world
    write_cars(
        folder,
        seed=world.seed,
        train=world.train_numbers,
        test=world.test_numbers,
        train_photos=world.train,
        test_photos=world.test,
    )
    return folder


@pytest.fixture(scope="module")
def photos(drawn: Path) -> TrainingPhotos:
    return load_training_photos(drawn, CONFIG.protocol, with_types=True)


@pytest.mark.parametrize(
    "loss",
    [
        CONFIG.loss,
        replace(CONFIG.loss, n_pair=0.0, classification=1.0),
        replace(CONFIG.loss, n_pair=0.0, type=1.0),
        replace(CONFIG.loss, classification=1.0, make=1.0, type=1.0, road=0.0),
    ],
)
def test_every_objective_trains(photos: TrainingPhotos, tmp_path: Path, loss: LossConfig) -> None:
    """N-pair, classification, types, and all: each gives a gradient to the first layer and figures of validation."""
    torch.manual_seed(1)
    task = CarsTask(replace(CONFIG, loss=loss), photos, tmp_path)
    batch = next(iter(task.batches(np.random.default_rng(1))))

    task.loss(batch).backward()  # type: ignore[no-untyped-call]  # torch leaves it so

    assert len(batch.pixels) == 2 * len(batch.label) == 12
    assert len(set(batch.label.tolist())) == 6
    gradient = next(task.network.parameters()).grad
    assert gradient is not None
    assert gradient.abs().sum() > 0
    assert task.figures(task.network.eval()).keys() >= {"map20"}


def test_a_model_of_no_known_type_trains_with_the_others(photos: TrainingPhotos, tmp_path: Path) -> None:
    """CompCars does not know every model's type: the loss is that of the others, and a number."""
    known = dict(list(photos.types.items())[1:])
    task = CarsTask(
        replace(CONFIG, loss=replace(CONFIG.loss, n_pair=0.0, type=1.0)), replace(photos, types=known), tmp_path
    )

    loss = task.loss(next(iter(task.batches(np.random.default_rng(1)))))

    assert len(photos.types) == 6
    assert torch.isfinite(loss)
    assert loss > 0


def test_the_first_epochs_see_smaller_images(photos: TrainingPhotos, tmp_path: Path) -> None:
    """One epoch at half the size, then the whole; a run that goes on after the first sees the whole too."""
    config = replace(CONFIG, input=replace(CONFIG.input, small_epochs=1, small_scale=0.5))
    task, rng, seen = CarsTask(config, photos, tmp_path), np.random.default_rng(1), []
    first = next(module for module in task.modules() if isinstance(module, torch.nn.Conv2d))
    first.register_forward_pre_hook(lambda _, inputs: seen.append(tuple(inputs[0].shape[2:])))

    for _ in range(2):
        task.loss(next(iter(task.batches(rng))))
    resumed = CarsTask(config, photos, tmp_path)
    resumed.load_state_dict(task.state_dict())

    assert seen == [(20, 24), (40, 48)]
    assert resumed.epoch.item() == 2


def test_a_batch_too_small_for_its_negatives_is_refused(photos: TrainingPhotos, tmp_path: Path) -> None:
    """Six models leave five others."""
    with pytest.raises(ValueError, match="fewer than 6 negatives"):
        CarsTask(replace(CONFIG, loss=replace(CONFIG.loss, negatives=6)), photos, tmp_path)


def test_the_test_keeps_only_models_with_enough_photos(drawn: Path) -> None:
    """Minor models are neither asked for nor found; two photos are enough here, 58 in the published protocol."""
    kept = load_test_photos(drawn, CONFIG.protocol)
    published = load_test_photos(drawn, replace(CONFIG.protocol, min_count=58))

    assert len(kept.gallery) == 6
    assert set(kept.query_labels) == set(kept.gallery_labels) == {1901, 1902}
    assert not published.gallery
    assert not published.queries


def test_augmentation_keeps_images_images() -> None:
    """Shares of 0..1 of the same shape; without any the pixels are only scaled."""
    pixels = torch.randint(0, 256, (6, 40, 48, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))
    everything = AugmentationConfig(5, 0.1, 0.1, 0.1, is_mirrored=True, light=0.3, grey=0.5, blurred=0.5)

    changed, same = augmented(pixels, everything), augmented(pixels, AugmentationConfig())
    halved = augmented(pixels, everything, 0.5)

    assert changed.shape == same.shape == (6, 3, 40, 48)
    assert halved.shape == (6, 3, 20, 24)
    assert changed.min() >= 0
    assert changed.max() <= 1
    assert torch.equal((same * 255).round().to(torch.uint8), pixels.permute(0, 3, 1, 2))


def test_what_is_moved_is_what_torch_would_move() -> None:
    """With no chance in it, an image at half its size is torch's own resampling by the identity."""
    pixels = torch.randint(0, 256, (2, 40, 48, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))
    images = pixels.permute(0, 3, 1, 2).float() / 255
    grid = functional.affine_grid(torch.eye(2, 3).repeat(2, 1, 1), [2, 3, 20, 24], align_corners=False)

    halved = augmented(pixels, AugmentationConfig(), 0.5)

    assert torch.allclose(halved, functional.grid_sample(images, grid, align_corners=False), atol=1e-5)


def test_no_run_can_train_on_the_models_of_the_test() -> None:
    """Their numbers are set aside."""
    with pytest.raises(ValueError, match="reaches the test's"):
        replace(CONFIG.world, train_models=1901)


@pytest.mark.parametrize("name", ["cars", "cars_ci", "cars_published"])
def test_every_config_is_one(name: str) -> None:
    """Each file names only keys that there are."""
    assert read_config(Path(f"training/configs/{name}.toml"), CarsConfig).seed == 7
