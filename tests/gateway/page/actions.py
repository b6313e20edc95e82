"""What the page's tests do again and again."""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
from playwright.sync_api import Page, Response, ViewportSize, expect

DESKTOP: ViewportSize = {"width": 1280, "height": 860}
PHONE: ViewportSize = {"width": 390, "height": 844}
SCENES = {
    "red_and_blue": {"red": (0.1, 0.1, 0.4, 0.5), "blue": (0.6, 0.5, 0.9, 0.9)},
    "green": {"green": (0.2, 0.2, 0.8, 0.8)},
    "blue": {"blue": (0.3, 0.3, 0.7, 0.7)},
    "yellow": {"yellow": (0.1, 0.5, 0.5, 0.9)},
}


def create_collection(api: httpx.Client, name: str, **settings: Any) -> None:
    """Creates a collection that is embedded by the tiny encoder."""
    created = api.post("/collections", json={"name": name, "encoder": "tiny", **settings})
    assert created.status_code == 201, created.text


def upload_of(filename: str, content: bytes) -> Any:
    """A file as Playwright hands it to an input."""
    return {"name": filename, "mimeType": "image/png", "buffer": content}


def open_collection(page: Page, collection: str) -> None:
    """Opens the page on a collection of the scenes, and waits for its images."""
    page.goto(f"/#{collection}")
    expect(page.locator(".tile")).to_have_count(len(SCENES))


def check_layout(page: Page, name: str) -> None:
    """Checks that a state does not scroll sideways on a phone; keeps screenshots where FOVEA_SCREENSHOTS names a folder."""
    folder = os.environ.get("FOVEA_SCREENSHOTS")
    for viewport in (PHONE, DESKTOP):
        page.set_viewport_size(viewport)
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), f"{name} scrolls sideways"
        for scheme in ("dark", "light"):
            if folder:
                page.emulate_media(color_scheme=scheme)
                page.screenshot(path=Path(folder) / f"{name}-{viewport['width']}-{scheme}.png")


def stroke(page: Page, *points: tuple[float, float]) -> None:
    """Draws through points in normalized coordinates of the board."""
    frame = page.locator("#board").bounding_box()
    assert frame is not None
    pixels = [(frame["x"] + x * frame["width"], frame["y"] + y * frame["height"]) for x, y in points]
    page.mouse.move(*pixels[0])
    page.mouse.down()
    for pixel in pixels[1:]:
        page.mouse.move(*pixel, steps=4)
    page.mouse.up()


def tile_names(page: Page) -> list[str]:
    """What stands under the tiles, in their order."""
    return page.locator(".tile .name").all_text_contents()


def sent_parts(response: Response) -> list[dict[str, Any]]:
    """The parts of the query that was answered."""
    body: dict[str, Any] = json.loads(response.request.post_data or "{}")
    return list(body["parts"])


@contextmanager
def next_search(page: Page) -> Iterator[Any]:
    """The answer of the search that the block starts, once those before it have been shown."""
    expect(page.locator("#results[aria-busy]")).to_have_count(0)
    with page.expect_response("**/search") as answered:
        yield answered
