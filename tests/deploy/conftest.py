from collections.abc import Iterator

import pytest

from tests.deploy.podman import Podman, podman_with_images


@pytest.fixture(scope="session")
def podman() -> Iterator[Podman]:
    """The images, built here, and what runs them."""
    with podman_with_images() as podman:
        yield podman
