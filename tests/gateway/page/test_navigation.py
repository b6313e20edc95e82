"""Addresses, keyboard, accessibility, and a server that cannot be reached."""

from typing import Literal

import httpx
import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect

from tests.gateway.page.actions import SCENES, check_layout, create_collection, open_collection, upload_of
from tests.support.images import blocks, encoded

pytestmark = pytest.mark.browser

AXE_TAGS = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice", "experimental"]


@pytest.mark.parametrize("fragment", ["100%", "%ff", "%E0%A4%A", "nobody", "<b>"])
def test_any_fragment_opens_the_page(page: Page, objects: str, fragment: str) -> None:
    """What cannot be decoded, or names nothing, is as good as no fragment: the first collection is shown."""
    page.goto(f"/#{fragment}")
    expect(page.locator("#results-title")).to_contain_text("All of")

    page.goto(f"/#{objects}")
    expect(page.locator("#results-title")).to_have_text(f"All of {objects}")
    page.evaluate("fragment => (location.hash = fragment)", fragment)
    expect(page.locator("#results-title")).to_have_text(f"All of {objects}")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nothing_violates_accessibility_rules(page: Page, objects: str, scheme: Literal["light", "dark"]) -> None:
    """Axe finds nothing in the states that people see: a grid, hits with boxes, details, and the dialogs."""
    page.emulate_media(color_scheme=scheme)
    open_collection(page, objects)
    _require_accessible(page)
    page.set_input_files("#image", [upload_of("query.png", encoded(blocks(SCENES["red_and_blue"])))])
    expect(page.locator("#boxes .box")).to_have_count(2)
    expect(page.locator("#results-title")).to_have_text("Best matches")
    expect(page.locator(".frame .match").first).to_be_visible()
    _require_accessible(page)
    page.get_by_role("button", name="Look for this red").click()
    page.get_by_role("button", name="Look for this blue").click()
    page.get_by_role("button", name="Add a box").click()
    page.locator("#options summary").click()
    page.locator(".grid li").first.hover()
    page.locator(".tile-select input").first.check()
    _require_accessible(page)
    page.get_by_role("button", name="Draw").click()
    expect(page.locator("#board")).to_be_visible()
    page.get_by_label("Words", exact=True).fill("green")
    page.keyboard.press("Enter")
    page.get_by_role("button", name="Less like green").click()
    expect(page.locator(".part.pushes")).to_be_visible()
    _require_accessible(page)
    for opener in (".tile >> nth=0", "#add", "#new-collection", "#change-collection", "#system", "#copy-query"):
        page.locator(opener).click()
        expect(page.locator("dialog[open]")).to_be_visible()
        _require_accessible(page)
        page.keyboard.press("Escape")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nothing_violates_accessibility_rules_where_there_is_nothing(
    page: Page, api: httpx.Client, name: str, scheme: Literal["light", "dark"], complaints: list[str]
) -> None:
    """Axe finds nothing in an empty collection, while results load, beside an error, and where the page itself fails."""
    create_collection(api, name)
    page.emulate_media(color_scheme=scheme)
    page.goto(f"/#{name}")
    expect(page.locator(".empty")).to_be_visible()
    _require_accessible(page)
    check_layout(page, "empty")
    page.route("**/search", lambda _: None)
    page.get_by_label("Words", exact=True).fill("green")
    expect(page.locator(".skeleton").first).to_be_visible()
    _require_accessible(page)
    page.unroute("**/search")
    page.route("**/search", lambda route: route.abort())
    page.get_by_label("Words", exact=True).fill("red")
    expect(page.locator(".is-error")).to_be_visible()
    _require_accessible(page)
    page.evaluate("setTimeout(() => { throw new Error('planned') })")
    expect(page.locator("#broken")).to_be_visible()
    _require_accessible(page)
    check_layout(page, "broken")
    complaints.clear()


def _require_accessible(page: Page) -> None:
    found = Axe().run(page, options={"runOnly": {"type": "tag", "values": AXE_TAGS}})
    assert not found.response["violations"], found.generate_report()


def test_lost_server_is_explained_and_found_again(page: Page, objects: str, complaints: list[str]) -> None:
    """Without the gateway the page says so, and tries again when asked."""
    open_collection(page, objects)
    page.route("**/api/**", lambda route: route.abort())
    page.get_by_label("Words", exact=True).fill("green")
    expect(page.locator(".is-error")).to_contain_text("The server cannot be reached")
    page.unroute("**/api/**")
    page.get_by_role("button", name="Try again").click()

    expect(page.locator(".tile .name").first).to_have_text("green")
    complaints.clear()


def test_keyboard_reaches_everything(page: Page, objects: str) -> None:
    """Without a mouse: skip to the results, open an image, leave it, and be where one was."""
    open_collection(page, objects)
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(page.locator(".tile").first).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.get_by_role("dialog")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.locator(".tile").first).to_be_focused()


def test_documentation_works_offline(page: Page) -> None:
    """Swagger UI renders from our own files under our policy."""
    page.goto("/docs")

    expect(page.locator(".opblock").first).to_be_visible()
    expect(page.get_by_text("/api/v1/collections/{name}/search")).to_be_visible()
