"""Queries of several parts, their regions, the address that holds them, and what they cost on the wire."""

import json

import httpx
import pytest
from playwright.sync_api import Page, Request, expect

from tests.gateway.page.actions import (
    SCENES,
    check_layout,
    create_collection,
    next_search,
    open_collection,
    sent_parts,
    tile_names,
    upload_of,
)
from tests.support.images import blocks, encoded, plain

pytestmark = pytest.mark.browser


@pytest.fixture
def colours(api: httpx.Client, name: str) -> str:
    """A collection of whole images, each of one colour, with metadata."""
    create_collection(api, name)
    for colour in ("red", "green", "blue", "yellow"):
        metadata = {
            "filename": f"{colour}.png",
            "warm": colour in ("red", "yellow"),
            "shop": "north" if colour == "red" else "south",
        }
        image = {"file": (f"{colour}.png", encoded(plain(colour)))}
        assert (
            api.post(f"/collections/{name}/images", files=image, data={"metadata": json.dumps(metadata)}).status_code
            == 200
        )
    return name


def searches(page: Page) -> list[Request]:
    """The search requests that the page sends from now on."""
    sent: list[Request] = []
    page.on("request", lambda request: sent.append(request) if request.url.endswith("/search") else None)
    return sent


def test_two_images_one_of_them_pushes_away(page: Page, colours: str) -> None:
    """Results are like one image and unlike the other; the weight says how much."""
    open_collection(page, colours)
    page.set_input_files("#image", [upload_of(f"{colour}.png", encoded(plain(colour))) for colour in ("yellow", "red")])
    expect(page.locator("#parts .part")).to_have_count(2)
    expect(page.locator(".tile")).to_have_count(4)
    page.get_by_role("button", name="Less like red.png", exact=True).click()
    expect(page.locator(".part.pushes")).to_contain_text("red.png")
    expect(page.locator(".tile .name").first).to_have_text("yellow.png")
    expect(page.locator(".tile .name").last).to_have_text("red.png")
    check_layout(page, "parts")

    slider = page.get_by_label("Weight of red.png")
    with next_search(page) as answered:
        slider.press("Home")
    expect(slider).to_be_focused()
    assert [part.get("weight", 1) for part in sent_parts(answered.value)] == [1, -0.1]


def test_several_objects_any_or_all(page: Page, objects: str) -> None:
    """Of two chosen objects any finds, or both have to be there."""
    open_collection(page, objects)
    page.set_input_files("#image", [upload_of("query.png", encoded(blocks(SCENES["red_and_blue"])))])
    page.get_by_role("button", name="Look for this red").click()
    page.get_by_role("button", name="Look for this blue").click()
    expect(page.locator("#chips .chip[aria-pressed=true]")).to_have_count(2)
    with page.expect_response(lambda response: "REGION_MATCH_ALL" in (response.request.post_data or "")) as answered:
        page.get_by_label("all of them").check()

    (part,) = sent_parts(answered.value)
    assert part["match"] == "REGION_MATCH_ALL"
    assert len(part["regions"]) == 2
    expect(page.locator(".tile").first).to_have_attribute("title", _uri_of(page, objects, "red_and_blue.png"))
    hits = answered.value.json()["hits"]
    assert len(hits[0]["matches"]) == 2
    with next_search(page) as answered:
        page.get_by_label("any of them").check()
    assert answered.value.json()["hits"][0]["score"] >= hits[0]["score"]


def _uri_of(page: Page, collection: str, filename: str) -> str:
    images = page.request.get(f"/api/v1/collections/{collection}/images").json()["images"]
    return next(str(image["uri"]) for image in images if image["metadata"]["filename"] == filename)


def test_box_by_keys(page: Page, objects: str) -> None:
    """A box is added, moved, resized and removed without a pointer."""
    open_collection(page, objects)
    page.set_input_files("#image", [upload_of("query.png", encoded(blocks(SCENES["green"])))])
    expect(page.locator("#boxes .box")).to_have_count(1)
    page.get_by_role("button", name="Add a box").press("Enter")
    box = page.locator(".box.custom")
    expect(box).to_be_focused()
    with next_search(page) as answered:
        box.press("ArrowLeft")
    assert sent_parts(answered.value)[0]["regions"][0]["x_min"] == pytest.approx(0.28)
    with next_search(page) as answered:
        page.keyboard.press("Shift+ArrowDown")
    assert sent_parts(answered.value)[0]["regions"][0]["y_max"] == pytest.approx(0.72)
    page.keyboard.press("Delete")
    expect(box).to_have_count(0)


def test_box_is_moved_and_resized_by_pointer(page: Page, objects: str) -> None:
    """A drawn box follows the pointer, and its corners change its size."""
    open_collection(page, objects)
    page.set_input_files("#image", [upload_of("query.png", encoded(blocks(SCENES["green"])))])
    expect(page.locator("#boxes .box")).to_have_count(1)
    page.get_by_role("button", name="Add a box").click()
    expect(page.locator(".box.custom")).to_be_visible()

    def drag(start: tuple[float, float], end: tuple[float, float]) -> dict[str, float]:
        frame = page.locator("#boxes").bounding_box()
        assert frame is not None
        with next_search(page) as answered:
            page.mouse.move(frame["x"] + start[0] * frame["width"], frame["y"] + start[1] * frame["height"])
            page.mouse.down()
            page.mouse.move(frame["x"] + end[0] * frame["width"], frame["y"] + end[1] * frame["height"], steps=4)
            page.mouse.up()
        box: dict[str, float] = sent_parts(answered.value)[0]["regions"][0]
        return box

    moved = drag((0.5, 0.5), (0.6, 0.4))
    assert [moved["x_min"], moved["y_min"]] == pytest.approx([0.4, 0.2], abs=0.02)
    resized = drag((0.8, 0.6), (0.9, 0.9))
    assert [resized["x_max"], resized["y_max"]] == pytest.approx([0.9, 0.9], abs=0.02)
    assert [resized["x_min"], resized["y_min"]] == pytest.approx([0.4, 0.2], abs=0.02)


def test_more_and_less_like_tiles(page: Page, colours: str) -> None:
    """Plus and minus of a tile make parts of stored images, by pointer and by key."""
    open_collection(page, colours)
    red = page.locator(".grid li", has_text="red.png")
    red.hover()
    red.get_by_role("button", name="Less like this").click()
    expect(page.locator(".tile .name").last).to_have_text("red.png")
    page.locator(".grid li", has_text="yellow.png").locator(".tile").press("+")
    expect(page.locator("#parts .part")).to_have_count(2)
    assert "weight=-1" in page.url


def test_link_holds_the_query(page: Page, colours: str, name: str) -> None:
    """Words, stored images, weights, filter and options come back by reload, by a link elsewhere, and by the back button."""
    open_collection(page, colours)
    page.locator(".grid li", has_text="yellow.png").locator(".tile").press("-")
    expect(page.locator(".tile .name").last).to_have_text("yellow.png")
    page.get_by_label("Words", exact=True).fill("green")
    page.keyboard.press("Enter")
    page.get_by_text("Options").click()
    page.get_by_label("Only images whose metadata match").fill('shop = "south"')
    page.keyboard.press("Enter")
    expect(page.locator(".tile")).to_have_count(3)
    found, link = tile_names(page), page.url

    page.reload()
    expect(page.locator("#parts .part")).to_have_count(2)
    expect(page.locator(".tile")).to_have_count(3)
    assert tile_names(page) == found
    page.get_by_role("button", name="Clear").click()
    page.get_by_label("Only images whose metadata match").fill("")
    page.keyboard.press("Enter")
    expect(page.locator("#results-title")).to_have_text(f"All of {name}")
    page.go_back()
    page.go_back()
    expect(page.locator("#parts .part")).to_have_count(2)
    assert page.url == link
    page.goto("about:blank")
    page.goto(link)
    expect(page.locator(".part.pushes")).to_contain_text("Stored image")
    expect(page.locator(".tile")).to_have_count(3)
    assert tile_names(page) == found


def test_own_images_stay_on_this_device(page: Page, colours: str) -> None:
    """A reload has them again; the link says on another device that they stayed behind."""
    open_collection(page, colours)
    page.set_input_files("#image", [upload_of("mine.png", encoded(plain("blue")))])
    expect(page.locator(".tile .name").first).to_have_text("blue.png")
    page.get_by_label("Words", exact=True).fill("green")
    page.keyboard.press("Enter")
    expect(page.locator("#parts .part")).to_have_count(2)
    page.reload()
    expect(page.locator("#parts .part", has_text="mine.png")).to_be_visible()
    expect(page.locator("#parts .part")).to_have_count(2)

    # As it is where the image was never chosen.
    page.evaluate("indexedDB.deleteDatabase('fovea')")
    page.reload()
    expect(page.locator("#parts-note")).to_contain_text("stays on the device")
    expect(page.locator("#parts .part")).to_have_count(1)
    expect(page.locator(".tile .name").first).to_have_text("green.png")


def test_facets_narrow_the_results(page: Page, colours: str) -> None:
    """Values of metadata are chips with their counts; a chosen one is part of the address."""
    open_collection(page, colours)
    page.get_by_role("group", name="shop").get_by_role("button", name="south").click()
    expect(page.locator(".tile")).to_have_count(3)
    chosen = page.get_by_role("group", name="shop").get_by_role("button", name="south")
    expect(chosen).to_have_attribute("aria-pressed", "true")
    page.reload()
    expect(page.locator(".tile")).to_have_count(3)
    expect(chosen).to_have_attribute("aria-pressed", "true")
    chosen.click()
    expect(page.locator(".tile")).to_have_count(4)


def test_query_as_code(page: Page, colours: str) -> None:
    """The query can be copied for a shell and for Python."""
    open_collection(page, colours)
    page.get_by_label("Words", exact=True).fill("it's green")
    page.keyboard.press("Enter")
    page.get_by_role("button", name="Copy as code").click()
    code = page.get_by_label("The query as code")
    expect(code).to_have_value(
        f"""curl {page.url.split("#")[0]}api/v1/collections/{colours}/search -H 'Content-Type: application/json' --data-binary @- <<< '{{"parts":[{{"text":"it'\\''s green"}}]}}'"""
    )
    page.get_by_role("button", name="Python").click()
    assert "httpx.post(" in code.input_value()
    page.get_by_role("button", name="grpcurl").click()
    assert "fovea.search.v1.SearchService/Search" in code.input_value()


def test_large_image_is_scaled_before_it_is_sent(page: Page, colours: str) -> None:
    """A photo of 12 megapixels leaves with 1,024 px."""
    open_collection(page, colours)
    sent = searches(page)
    page.set_input_files("#image", [upload_of("large.png", encoded(blocks(SCENES["red_and_blue"], (4000, 3000))))])
    expect(page.locator("#results-title")).to_have_text("Best matches")

    assert page.locator("#preview").evaluate("image => [image.naturalWidth, image.naturalHeight]") == [1024, 768]
    assert len(sent[0].post_data or "") < 300_000
