"""The query panel: images, boxes, words, sketches and filters."""

import re

import httpx
import pytest
from playwright.sync_api import Page, Route, expect

from tests.gateway.page.actions import (
    SCENES,
    check_layout,
    create_collection,
    next_search,
    open_collection,
    stroke,
    upload_of,
)
from tests.support.images import blocks, encoded, heic, plain

pytestmark = pytest.mark.browser


def test_details_tell_when_a_photo_was_taken(page: Page, api: httpx.Client, name: str) -> None:
    """Date and camera stand in the details, the date as it was where the photo was taken; a HEIC is shown."""
    create_collection(api, name)
    assert api.post(f"/collections/{name}/images", files={"file": ("IMG_1.HEIC", heic("turned"))}).status_code == 200
    page.goto(f"/#{name}")

    page.locator(".tile").click()
    details = page.get_by_role("dialog")
    expect(details).to_contain_text("1 May 2024, 12:30")
    expect(details).to_contain_text("Fovea F1, Fovea 26mm f/1.8")
    assert details.locator("img").evaluate("image => image.decode().then(() => image.naturalWidth)") == 96


def test_upload_search_box_details_and_more_like_this(page: Page, objects: str) -> None:
    """The whole way: an image finds, one of its objects finds better, a hit shows its facts and leads on."""
    open_collection(page, objects)
    check_layout(page, "browse")

    page.set_input_files("#image", [upload_of("query.png", encoded(blocks(SCENES["red_and_blue"])))])
    expect(page.locator("#boxes .box")).to_have_count(2)
    expect(page.locator("#results-title")).to_have_text("Best matches")
    page.get_by_role("button", name="Look for this blue").click()
    expect(page.locator("#chips .chip", has_text="blue")).to_have_attribute("aria-pressed", "true")
    expect(page.locator(".tile .name").first).to_have_text("blue")
    expect(page.locator(".frame .match").first).to_be_visible()
    check_layout(page, "box")

    page.locator(".tile").first.click()
    details = page.get_by_role("dialog")
    expect(details).to_contain_text(re.compile("480 . 360 px"))
    expect(details).to_contain_text("north")
    expect(details).to_contain_text("sha256:")
    check_layout(page, "details")
    details.get_by_role("button", name="Next image").click()
    expect(page.locator("#details-title")).not_to_have_text("red_and_blue.png")
    page.keyboard.press("ArrowLeft")
    expect(page.locator("#details-title")).to_have_text("red_and_blue.png")
    expect(page.get_by_role("button", name="Previous image")).to_be_disabled()

    opened = page.locator(".tile").first.get_attribute("title")
    details.get_by_role("button", name="Search for this").click()
    expect(details).to_be_hidden()
    expect(page.locator("#boxes .box").first).to_be_visible()
    expect(page.locator(".tile")).to_have_count(3)
    expect(page.locator(f".tile[title='{opened}']")).to_have_count(0)


@pytest.mark.parametrize("target", ["body", ".bar", "#grid", "#query", "html"])
def test_image_is_dropped_anywhere(page: Page, objects: str, target: str) -> None:
    """The whole page takes an image; a browser would leave it to show the file."""
    open_collection(page, objects)
    page.evaluate(
        """([target, bytes]) => {
            const data = new DataTransfer();
            data.items.add(new File([new Uint8Array(bytes)], "query.png", { type: "image/png" }));
            const node = document.querySelector(target);
            for (const kind of ["dragenter", "dragover", "drop"]) {
                const event = new DragEvent(kind, { bubbles: true, cancelable: true, dataTransfer: data });
                node.dispatchEvent(event);
                if (kind !== "dragenter" && !event.defaultPrevented) throw new Error(`${kind} leaves the page`);
            }
        }""",
        [target, list(encoded(blocks(SCENES["green"])))],
    )

    expect(page.locator("#results-title")).to_have_text("Best matches")
    expect(page.locator("html.over")).to_have_count(0)


def test_dragged_box_is_looked_for(page: Page, objects: str) -> None:
    """People may draw a box where no object was recognised."""
    open_collection(page, objects)
    page.set_input_files("#image", [upload_of("query.png", encoded(blocks(SCENES["red_and_blue"])))])
    expect(page.locator("#boxes .box")).to_have_count(2)
    frame = page.locator("#boxes").bounding_box()
    assert frame is not None
    with next_search(page):
        page.mouse.move(frame["x"] + 0.05 * frame["width"], frame["y"] + 0.05 * frame["height"])
        page.mouse.down()
        page.mouse.move(frame["x"] + 0.45 * frame["width"], frame["y"] + 0.55 * frame["height"], steps=5)
        page.mouse.up()

    expect(page.locator(".box.custom")).to_be_visible()
    expect(page.locator("#chips .chip[aria-pressed=true]")).to_contain_text(["Box 1"])
    expect(page.locator(".tile .name").first).to_have_text("red")


def test_words_find_where_an_encoder_reads_them(page: Page, objects: str) -> None:
    """The text field stands there for a space with a text encoder."""
    open_collection(page, objects)
    page.get_by_label("Words", exact=True).fill("green")

    expect(page.locator("#results-title")).to_have_text("Best matches")
    expect(page.locator(".tile .name").first).to_have_text("green")


def test_drawn_sketch_is_looked_for(page: Page, objects: str) -> None:
    """A drawing asks when the pen rests; words and sketch are one query; without strokes words stand alone."""
    open_collection(page, objects)
    page.get_by_role("button", name="Draw").click()
    expect(page.locator("#board")).to_be_visible()
    with next_search(page) as answered:
        stroke(page, (0.2, 0.7), (0.8, 0.7))
    assert answered.value.ok
    expect(page.locator("#results-title")).to_have_text("Best matches")

    stroke(page, (0.3, 0.7), (0.5, 0.3), (0.7, 0.7))
    page.get_by_label("Words", exact=True).fill("green")
    # The tiny encoder sees mean colours: between white paper and green lie yellow, then green.
    expect(page.locator(".tile .name").nth(1)).to_have_text("green")
    expect(page.locator(".tile .name").first).to_have_text("yellow")
    check_layout(page, "sketch")

    for _ in range(2):
        page.get_by_role("button", name="Undo").click()
    expect(page.get_by_role("button", name="Clear the board")).to_be_disabled()
    expect(page.locator(".tile .name").first).to_have_text("green")
    page.get_by_role("button", name="Redo").click()
    expect(page.locator("#parts .part")).to_have_count(1)
    page.get_by_label("Eraser").check()
    stroke(page, (0.1, 0.7), (0.9, 0.7))
    page.get_by_role("button", name="Clear the board").click()
    page.get_by_label("Words", exact=True).fill("")
    expect(page.locator("#results-title")).to_have_text(f"All of {objects}")


def test_unreadable_image_is_explained(page: Page, objects: str, complaints: list[str]) -> None:
    """A page renamed to an image gets one clear sentence, and the next image works."""
    open_collection(page, objects)
    page.set_input_files("#image", [upload_of("query.png", b"<html></html>")])
    expect(page.locator(".is-error")).to_contain_text("This image cannot be read")
    check_layout(page, "unreadable")
    complaints.clear()

    page.get_by_role("button", name="Clear").click()
    expect(page.locator(".tile")).to_have_count(4)


def test_a_wrong_filter_is_named(page: Page, objects: str, complaints: list[str]) -> None:
    """A sentence about a filter says that it is about the filter."""
    open_collection(page, objects)
    page.get_by_text("Options").click()
    page.get_by_label("Only images whose metadata match").fill("year >")
    page.keyboard.press("Enter")

    expect(page.locator(".is-error")).to_contain_text("Filter: expected a quoted text")
    complaints.clear()


def test_all_copies_are_counted(page: Page, objects: str) -> None:
    """A hit names a hundred copies, and the page says how many there are."""
    open_collection(page, objects)

    def answer(route: Route) -> None:
        hit = {"image_id": "0" * 32, "uri": "a.png", "score": 1, "copies": ["b.png"], "copy_count": 1200}
        route.fulfill(json={"hits": [hit], "warnings": [], "query_regions": [], "timings": {"total_ms": 1}})

    page.route("**/search", answer)
    page.route("**/images/000*/**", lambda route: route.fulfill(body=encoded(plain("red"))))
    page.get_by_label("Words", exact=True).fill("green")

    expect(page.locator(".tile .copies")).to_have_text("+1,200 copies")


def test_what_stands_out_may_be_nothing(page: Page, objects: str) -> None:
    """Confidence stands on the tiles where the answer has it; where nothing stands out, the page says so and leads on."""
    open_collection(page, objects)

    def answer(route: Route) -> None:
        hit = {"image_id": "0" * 32, "uri": "a.png", "score": 0.31, "confidence": 0.974}
        hits = [] if (route.request.post_data_json or {}).get("relevance") else [hit]
        route.fulfill(json={"hits": hits, "warnings": [], "query_regions": [], "timings": {"total_ms": 1}})

    page.route("**/search", answer)
    page.route("**/images/000*/**", lambda route: route.fulfill(body=encoded(plain("red"))))
    page.get_by_text("Options").click()
    page.get_by_label("Show only what stands out").check()
    page.get_by_label("Words", exact=True).fill("green")
    expect(page.locator(".empty")).to_contain_text("Nothing here looks like that")
    page.get_by_role("button", name="Show the nearest").click()
    expect(page.locator(".tile .score")).to_have_text("97 %")
    assert "relevance" not in page.url
