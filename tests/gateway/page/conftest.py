import os
import shutil
from collections.abc import Iterator

import httpx
import pytest
from playwright.sync_api import Browser, ConsoleMessage, Page, expect, sync_playwright

from tests.gateway.page.actions import DESKTOP, SCENES, create_collection
from tests.gateway.system import System
from tests.support.images import blocks, encoded


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """A Chromium of this machine, for one file: while it runs, Playwright holds the event loop that other files need.

    A run that skips what CI should run fails.
    """
    names = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
    executable = next(filter(None, map(shutil.which, names)), None)
    if executable is None:
        if os.environ.get("CI") == "true":
            pytest.fail("CI must have a Chromium: the page's tests need one")
        pytest.skip("the page's tests need a Chromium; none is on the path")
    arguments = ["--headless", "--no-sandbox", "--disable-background-networking"]
    expect.set_options(timeout=20_000)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable, args=arguments)
        yield browser
        browser.close()


@pytest.fixture
def complaints() -> list[str]:
    """Errors in the browser's console; a test that provokes some clears the list."""
    return []


@pytest.fixture
def page(browser: Browser, system: System, complaints: list[str], name: str) -> Iterator[Page]:
    """A fresh page on the gateway; at the end the console must be clean, and the collections are still there."""
    context = browser.new_context(base_url=system.url, viewport=DESKTOP, reduced_motion="reduce")
    page = context.new_page()
    page.set_default_timeout(20_000)
    page.on("console", lambda message: complaints.append(message.text) if _is_complaint(message) else None)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    yield page
    context.close()
    assert complaints == []


def _is_complaint(message: ConsoleMessage) -> bool:
    # Other tests set up network namespaces on this machine, which Chromium takes as a change of its network.
    return message.type == "error" and "ERR_NETWORK_CHANGED" not in message.text


@pytest.fixture
def api(system: System) -> Iterator[httpx.Client]:
    """A client of the API, to prepare what the page shows."""
    with httpx.Client(base_url=f"{system.url}/api/v1", timeout=30) as client:
        yield client


@pytest.fixture
def objects(api: httpx.Client, name: str) -> str:
    """An objects collection of four scenes."""
    create_collection(api, name, mode="objects", detector="tiny_detector")
    for scene, placed in SCENES.items():
        image = {"file": (f"{scene}.png", encoded(blocks(placed, (480, 360))))}
        metadata = {"metadata": f'{{"filename": "{scene}.png", "shop": "north"}}'}
        assert api.post(f"/collections/{name}/images", files=image, data=metadata).status_code == 200
    return name
