"""Many results: they come as one scrolls, the query is sent once, and the first ones are there at once."""

import io
from collections.abc import Iterator

import httpx
import pytest
from PIL import Image
from playwright.sync_api import Page, Request, expect

from tests.gateway.page.actions import create_collection, upload_of
from tests.gateway.system import System

pytestmark = pytest.mark.browser

COUNT = 1000
COLLECTION = "many_colours"


def colour(number: int) -> bytes:
    """A small image of a colour of its own."""
    buffer = io.BytesIO()
    Image.new("RGB", (16, 16), (number % 10 * 25, number // 10 % 10 * 25, number // 100 * 25)).save(buffer, "PNG")
    return buffer.getvalue()


@pytest.fixture(scope="module")
def many(system: System) -> Iterator[str]:
    """A collection of a thousand images."""
    with httpx.Client(base_url=f"{system.url}/api/v1", timeout=120) as api:
        create_collection(api, COLLECTION)
        files = [("images", (f"{number:04}.png", colour(number))) for number in range(COUNT)]
        assert api.post(f"/collections/{COLLECTION}/images", files=files).status_code == 200
        yield COLLECTION
        api.delete(f"/collections/{COLLECTION}").raise_for_status()


def scroll_to_the_end(page: Page) -> None:
    """Scrolls until no more results come; what was seen stays where it is."""
    tiles = page.locator(".tile")
    while page.locator("#more").is_visible():
        count = tiles.count()
        first_px = page.evaluate("document.querySelector('.tile').getBoundingClientRect().top + scrollY")
        page.evaluate("scrollTo(0, document.documentElement.scrollHeight)")
        page.wait_for_function(
            "count => document.querySelectorAll('.tile').length > count || document.getElementById('more').hidden",
            arg=count,
        )
        assert page.evaluate("document.querySelector('.tile').getBoundingClientRect().top + scrollY") == first_px


def test_scroll_through_a_thousand(page: Page, many: str) -> None:
    """Every image comes once, by scrolling alone, and the query's image crosses the wire once."""
    page.goto(f"/#{many}")
    expect(page.locator("#results-title")).to_have_text(f"All of {many}")
    sent: list[Request] = []
    page.on("request", lambda request: sent.append(request) if request.url.endswith("/search") else None)
    page.set_input_files("#image", [upload_of("query.png", colour(123))])
    expect(page.locator("#results-title")).to_have_text("Best matches")
    scroll_to_the_end(page)

    found = page.locator(".grid li").evaluate_all("tiles => tiles.map(tile => tile.dataset.id)")
    assert len(found) == len(set(found)) == COUNT
    assert len(sent) > 10
    assert [request for request in sent if "image" in (request.post_data or "")] == sent[:1]


def test_next_page_that_fails_can_be_asked_again(page: Page, many: str, complaints: list[str]) -> None:
    """What is there stays, the page says what failed, and the button goes on."""
    page.goto(f"/#{many}")
    expect(page.locator(".tile").first).to_be_visible()
    page.route("**/images?*", lambda route: route.abort())
    page.evaluate("scrollTo(0, document.documentElement.scrollHeight)")
    expect(page.locator("#more-error")).to_contain_text("cannot be reached")
    shown = page.locator(".tile").count()
    assert shown > 0
    page.unroute("**/images?*")
    page.get_by_role("button", name="Show more").click()
    page.wait_for_function("count => document.querySelectorAll('.tile').length > count", arg=shown)
    complaints.clear()


def test_first_results_are_there_at_once(page: Page, many: str) -> None:
    """From the answer of the search to tiles that are painted."""
    page.goto(f"/#{many}")
    expect(page.locator(".tile").first).to_be_visible()
    took_ms = page.evaluate(
        """() => new Promise((resolve) => {
            const fetched = window.fetch;
            let answered = 0;
            window.fetch = async (...request) => {
                const response = await fetched(...request);
                if (String(request[0]).endsWith("/search")) answered = performance.now();
                return response;
            };
            new MutationObserver(() => {
                if (answered && document.getElementById("results-title").textContent === "Best matches") {
                    requestAnimationFrame(() => setTimeout(() => resolve(performance.now() - answered)));
                }
            }).observe(document.getElementById("grid"), { childList: true });
            const words = document.getElementById("words");
            words.value = "green";
            words.dispatchEvent(new Event("input"));
        })"""
    )
    assert took_ms < 300


def test_first_paint_is_small(page: Page, many: str) -> None:
    """The page itself, all its scripts and styles until results are there: less than 40 kB on the wire."""
    page.goto(f"/#{many}")
    expect(page.locator(".tile").first).to_be_visible()
    sizes = page.evaluate(
        """() => [...performance.getEntriesByType("navigation"), ...performance.getEntriesByType("resource")]
            .filter(({ name }) => !name.includes("/api/"))
            .map(({ name, encodedBodySize }) => [name.split("/").at(-1), encodedBodySize])"""
    )
    assert sum(size for _, size in sizes) < 40_000, sizes
