"""A detector's run so small that its whole chain takes seconds."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from training.config import read_config
from training.objects.config import ObjectsConfig

CONFIGS = Path(__file__).parents[3] / "training" / "configs"


@pytest.fixture
def small_config() -> Callable[[str], ObjectsConfig]:
    """Reads a config and makes its world, its compact network and its run small."""

    def small(name: str) -> ObjectsConfig:
        config = read_config(CONFIGS / f"{name}.toml", ObjectsConfig)
        is_compact = not config.network.cfg
        return replace(
            config,
            world=replace(
                config.world, drawn=4, composed=4 if config.world.composed else 0, validation=3, gallery=4, queries=3
            ),
            data=replace(config.data, size_px=64),
            network=replace(config.network, widths=(4, 4, 8, 8, 8), neck=8) if is_compact else config.network,
            optimiser=replace(config.optimiser, batch=4, epochs=1),
        )

    return small
