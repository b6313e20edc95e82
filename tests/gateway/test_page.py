import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import httpx
import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, ConsoleMessage, Page, Route, ViewportSize, expect, sync_playwright

from tests.gateway.system import System
from tests.support.images import blocks, encoded, plain

pytestmark = pytest.mark.browser

DESKTOP: ViewportSize = {"width": 1280, "height": 860}
PHONE: ViewportSize = {"width": 390, "height": 844}
AXE_TAGS = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice", "experimental"]
SCENES = {
    "red_and_blue": {"red": (0.1, 0.1, 0.4, 0.5), "blue": (0.6, 0.5, 0.9, 0.9)},
    "green": {"green": (0.2, 0.2, 0.8, 0.8)},
    "blue": {"blue": (0.3, 0.3, 0.7, 0.7)},
    "yellow": {"yellow": (0.1, 0.5, 0.5, 0.9)},
}


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """A Chromium of this machine; a run that skips what CI should run fails."""
    names = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
    executable = next(filter(None, map(shutil.which, names)), None)
    if executable is None:
        if os.environ.get("CI") == "true":
            pytest.fail("CI must have a Chromium: the page's tests need one")
        pytest.skip("the page's tests need a Chromium; none is on the path")
    arguments = ["--headless", "--no-sandbox", "--disable-background-networking"]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable, args=arguments)
        yield browser
        browser.close()


@pytest.fixture
def complaints() -> list[str]:
    """What the browser complained about; a test that provokes complaints takes them out."""
    return []


@pytest.fixture
def page(browser: Browser, system: System, complaints: list[str]) -> Iterator[Page]:
    """A fresh page on the gateway; at the end the console must be clean."""
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
    """The API, to set the stage."""
    with httpx.Client(base_url=f"{system.url}/api/v1", timeout=30) as client:
        yield client


@pytest.fixture
def objects(api: httpx.Client, name: str) -> str:
    """An objects collection of four scenes."""
    _create(api, name, mode="objects", detector="tiny_detector")
    for scene, placed in SCENES.items():
        image = {"file": (f"{scene}.png", encoded(blocks(placed, (480, 360))))}
        metadata = {"metadata": f'{{"filename": "{scene}.png", "shop": "north"}}'}
        assert api.post(f"/collections/{name}/images", files=image, data=metadata).status_code == 200
    return name


def _create(api: httpx.Client, name: str, **settings: Any) -> None:
    created = api.post("/collections", json={"name": name, "encoder": "tiny", **settings})
    assert created.status_code == 201, created.text


def _file(filename: str, content: bytes) -> Any:
    return {"name": filename, "mimeType": "image/png", "buffer": content}


def _open(page: Page, collection: str) -> None:
    """The collection's images are shown."""
    page.goto(f"/#{collection}")
    expect(page.locator(".tile")).to_have_count(len(SCENES))


def _look(page: Page, name: str) -> None:
    """No state may scroll sideways on a phone; images of it are kept when FOVEA_SCREENSHOTS names a folder."""
    folder = os.environ.get("FOVEA_SCREENSHOTS")
    for viewport in (PHONE, DESKTOP):
        page.set_viewport_size(viewport)
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), f"{name} scrolls sideways"
        for scheme in ("dark", "light"):
            if folder:
                page.emulate_media(color_scheme=scheme)
                page.screenshot(path=Path(folder) / f"{name}-{viewport['width']}-{scheme}.png")


def test_upload_search_box_details_and_more_like_this(page: Page, objects: str) -> None:
    """The whole way: an image finds, one of its objects finds better, a hit shows its facts and leads on."""
    _open(page, objects)
    _look(page, "browse")

    page.set_input_files("#image", [_file("query.png", encoded(blocks(SCENES["red_and_blue"])))])
    expect(page.locator("#boxes .box")).to_have_count(2)
    expect(page.locator("#results-title")).to_have_text("Best matches")
    page.get_by_role("button", name="Look for this blue").click()
    expect(page.locator("#chips .chip", has_text="blue")).to_have_attribute("aria-pressed", "true")
    expect(page.locator(".tile .name").first).to_have_text("blue")
    expect(page.locator(".frame .match").first).to_be_visible()
    _look(page, "box")

    page.locator(".tile").first.click()
    details = page.get_by_role("dialog")
    expect(details).to_contain_text(re.compile("480 . 360 px"))
    expect(details).to_contain_text("north")
    expect(details).to_contain_text("sha256:")
    _look(page, "details")

    opened = page.locator(".tile").first.get_attribute("title")
    details.get_by_role("button", name="More like this").click()
    expect(details).to_be_hidden()
    expect(page.locator("#boxes .box").first).to_be_visible()
    expect(page.locator(".tile")).to_have_count(3)
    expect(page.locator(f".tile[title='{opened}']")).to_have_count(0)


@pytest.mark.parametrize("fragment", ["100%", "%ff", "%E0%A4%A", "nobody", "<b>"])
def test_any_fragment_opens_the_page(page: Page, objects: str, fragment: str) -> None:
    """What cannot be decoded, or names nothing, is as good as no fragment: the first collection is shown."""
    page.goto(f"/#{fragment}")
    expect(page.locator("#results-title")).to_contain_text("All of")

    page.goto(f"/#{objects}")
    expect(page.locator("#results-title")).to_have_text(f"All of {objects}")
    page.evaluate("fragment => (location.hash = fragment)", fragment)
    expect(page.locator("#results-title")).to_have_text(f"All of {objects}")


@pytest.mark.parametrize("target", ["body", ".bar", "#grid", "#query", "html"])
def test_image_is_dropped_anywhere(page: Page, objects: str, target: str) -> None:
    """The whole page takes an image; a browser would leave it to show the file."""
    _open(page, objects)
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


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nothing_violates_accessibility_rules(page: Page, objects: str, scheme: Literal["light", "dark"]) -> None:
    """Axe finds nothing in the states that people see: a grid, hits with boxes, details, and the dialogs."""
    page.emulate_media(color_scheme=scheme)
    _open(page, objects)
    _require_accessible(page)
    page.set_input_files("#image", [_file("query.png", encoded(blocks(SCENES["red_and_blue"])))])
    expect(page.locator("#boxes .box")).to_have_count(2)
    expect(page.locator("#results-title")).to_have_text("Best matches")
    expect(page.locator(".frame .match").first).to_be_visible()
    _require_accessible(page)
    for opener in (".tile >> nth=0", "#add", "#new-collection"):
        page.locator(opener).click()
        _require_accessible(page)
        page.keyboard.press("Escape")


def _require_accessible(page: Page) -> None:
    found = Axe().run(page, options={"runOnly": {"type": "tag", "values": AXE_TAGS}})
    assert not found.response["violations"], found.generate_report()


def test_dragged_box_is_looked_for(page: Page, objects: str) -> None:
    """People may draw a box where no object was recognised."""
    _open(page, objects)
    page.set_input_files("#image", [_file("query.png", encoded(blocks(SCENES["red_and_blue"])))])
    expect(page.locator("#boxes .box")).to_have_count(2)
    frame = page.locator("#boxes").bounding_box()
    assert frame is not None
    with page.expect_response("**/search"):
        page.mouse.move(frame["x"] + 0.05 * frame["width"], frame["y"] + 0.05 * frame["height"])
        page.mouse.down()
        page.mouse.move(frame["x"] + 0.45 * frame["width"], frame["y"] + 0.55 * frame["height"], steps=5)
        page.mouse.up()

    expect(page.locator(".box.custom")).to_be_visible()
    expect(page.locator("#chips .chip[aria-pressed=true]")).to_have_count(0)
    expect(page.locator(".tile .name").first).to_have_text("red")


def test_collection_is_created_and_a_folder_ingested_with_progress(
    page: Page, api: httpx.Client, system: System, name: str
) -> None:
    """From an empty collection to results, with what failed and why."""
    folder = system.root / name
    folder.mkdir()
    for number in range(40):
        (folder / f"{number:02}.png").write_bytes(encoded(plain("red", (64 + number, 64))))
    (folder / "broken.jpg").write_bytes(b"\xff\xd8\xff cut off")
    (folder / "IMG_1.HEIC").write_bytes(b"")
    _create(api, f"{name}_old")
    page.goto("/")
    page.get_by_role("button", name="New collection").click()
    page.get_by_label("Name").fill(name)
    page.get_by_label("Encoder").select_option("tiny")
    _look(page, "create")
    page.get_by_role("button", name="Create").click()
    expect(page.locator(".empty")).to_contain_text(f"{name} is empty")

    page.locator(".empty").get_by_role("button", name="Add images").click()
    page.get_by_label("A folder on the server").fill(str(folder))
    _look(page, "add")
    page.get_by_role("button", name="Ingest").click()
    card = page.locator(".progress")
    expect(card.get_by_role("progressbar")).to_be_visible()
    expect(card).to_contain_text("Done: 40 added, 1 not taken")
    card.get_by_text("1 image not taken").click()
    expect(card).to_contain_text("broken.jpg")
    card.get_by_text("1 file left out").click()
    expect(card).to_contain_text("HEIC files cannot be read; convert them to JPEG, PNG, WebP or TIFF. IMG_1.HEIC")
    expect(page.locator("#collection option:checked")).to_have_text(f"{name} · 40 images")
    expect(page.locator(".tile")).to_have_count(24)
    _look(page, "ingested")
    page.get_by_role("button", name="Show more").click()
    expect(page.locator(".tile")).to_have_count(40)


def test_folder_outside_the_roots_is_explained(page: Page, objects: str, complaints: list[str]) -> None:
    """What the server refuses is said where people typed it."""
    _open(page, objects)
    page.get_by_role("button", name="Add images").click()
    page.get_by_label("A folder on the server").fill("/etc")
    page.get_by_role("button", name="Ingest").click()

    expect(page.locator("#folder-error")).to_contain_text("outside the image roots")
    assert "403" in complaints.pop()


def test_uploads_fail_alone(page: Page, objects: str, complaints: list[str]) -> None:
    """Of several uploads a broken one is named, the others are found."""
    _open(page, objects)
    page.get_by_role("button", name="Add images").click()
    page.set_input_files("#upload", [_file("new.png", encoded(plain("red"))), _file("broken.png", b"<html>")])

    expect(page.locator(".progress")).to_contain_text("Done: 1 added, 1 not taken")
    expect(page.locator(".tile")).to_have_count(5)
    assert "415" in complaints.pop()


def test_words_find_where_an_encoder_reads_them(page: Page, objects: str) -> None:
    """The text field stands there for a space with a text encoder."""
    _open(page, objects)
    page.get_by_label("Words", exact=True).fill("green")

    expect(page.locator("#results-title")).to_have_text("Best matches")
    expect(page.locator(".tile .name").first).to_have_text("green")


def test_drawn_sketch_is_looked_for(page: Page, objects: str) -> None:
    """A drawing asks when the pen rests; words and sketch are one query; without strokes words stand alone."""
    _open(page, objects)
    page.get_by_text("Draw a sketch").click()
    with page.expect_response("**/search") as answered:
        _stroke(page, (0.2, 0.7), (0.8, 0.7))
    assert answered.value.ok
    expect(page.locator("#results-title")).to_have_text("Best matches")

    _stroke(page, (0.3, 0.7), (0.5, 0.3), (0.7, 0.7))
    page.get_by_label("Words", exact=True).fill("green")
    expect(page.locator("#balance-field")).to_be_visible()
    # The tiny encoder sees mean colours: between white paper and green lie yellow, then green.
    expect(page.locator(".tile .name").nth(1)).to_have_text("green")
    expect(page.locator(".tile .name").first).to_have_text("yellow")
    expect(page.locator("#balance-seen")).to_have_text("More sketch")
    _look(page, "sketch")

    for _ in range(2):
        page.get_by_role("button", name="Undo").click()
    expect(page.get_by_role("button", name="Wipe")).to_be_disabled()
    expect(page.locator(".tile .name").first).to_have_text("green")
    page.get_by_label("Words", exact=True).fill("")
    expect(page.locator("#results-title")).to_have_text(f"All of {objects}")


def _stroke(page: Page, *points: tuple[float, float]) -> None:
    """Draws through points in normalized coordinates of the board."""
    frame = page.locator("#board").bounding_box()
    assert frame is not None
    pixels = [(frame["x"] + x * frame["width"], frame["y"] + y * frame["height"]) for x, y in points]
    page.mouse.move(*pixels[0])
    page.mouse.down()
    for pixel in pixels[1:]:
        page.mouse.move(*pixel, steps=4)
    page.mouse.up()


def test_unreadable_image_is_explained(page: Page, objects: str, complaints: list[str]) -> None:
    """A page renamed to an image gets one clear sentence, and the next image works."""
    _open(page, objects)
    page.set_input_files("#image", [_file("query.png", b"<html></html>")])
    expect(page.locator(".is-error")).to_contain_text("This image cannot be read")
    _look(page, "unreadable")
    complaints.clear()

    page.get_by_role("button", name="Clear").click()
    expect(page.locator(".tile")).to_have_count(4)


def test_image_is_deleted_after_a_question(page: Page, objects: str) -> None:
    """Deleting asks first, and the image is gone from the grid."""
    _open(page, objects)
    page.get_by_role("button", name="green.png").click()
    page.get_by_role("dialog").get_by_role("button", name="Delete").click()
    question = page.locator("#confirm-dialog")
    expect(question).to_contain_text("Its file stays")
    question.get_by_role("button", name="Cancel").click()
    page.get_by_role("dialog").get_by_role("button", name="Delete").click()
    question.get_by_role("button", name="Delete").click()

    expect(page.locator(".tile")).to_have_count(3)
    expect(page.get_by_role("button", name="green.png")).to_have_count(0)


def test_lost_server_is_explained_and_found_again(page: Page, objects: str, complaints: list[str]) -> None:
    """Without the gateway the page says so, and tries again when asked."""
    _open(page, objects)
    page.route("**/api/**", lambda route: route.abort())
    page.get_by_label("Words", exact=True).fill("green")
    expect(page.locator(".is-error")).to_contain_text("The server cannot be reached")
    page.unroute("**/api/**")
    page.get_by_role("button", name="Try again").click()

    expect(page.locator(".tile .name").first).to_have_text("green")
    complaints.clear()


def test_a_collection_that_went_is_explained(
    page: Page, api: httpx.Client, objects: str, name: str, complaints: list[str]
) -> None:
    """Somebody deletes the collection that the page shows: the page says so and leads to what there is."""
    _create(api, f"{name}_other")
    _open(page, objects)
    assert api.delete(f"/collections/{objects}").status_code == 204
    page.get_by_label("Words", exact=True).fill("green")
    expect(page.locator(".is-error")).to_contain_text(f"{objects} was deleted")
    page.get_by_role("button", name="Show what there is").click()

    expect(page.locator("#results-title")).to_contain_text("All of")
    expect(page.locator("#collection option", has_text=f"{objects} ·")).to_have_count(0)
    complaints.clear()


def test_a_wrong_filter_is_named(page: Page, objects: str, complaints: list[str]) -> None:
    """A sentence about a filter says that it is about the filter."""
    _open(page, objects)
    page.get_by_text("Options").click()
    page.get_by_label("Only images whose metadata match").fill("year >")
    page.keyboard.press("Enter")

    expect(page.locator(".is-error")).to_contain_text("Filter: expected a quoted text")
    complaints.clear()


def test_all_copies_are_counted(page: Page, objects: str) -> None:
    """A hit names a hundred copies, and the page says how many there are."""
    _open(page, objects)

    def answer(route: Route) -> None:
        hit = {"image_id": "0" * 32, "uri": "a.png", "score": 1, "copies": ["b.png"], "copy_count": 1200}
        route.fulfill(json={"hits": [hit], "warnings": [], "timings": {"total_ms": 1}})

    page.route("**/search", answer)
    page.route("**/images/000*/**", lambda route: route.fulfill(body=encoded(plain("red"))))
    page.get_by_label("Words", exact=True).fill("green")

    expect(page.locator(".tile .copies")).to_have_text("+1,200 copies")


def test_keyboard_reaches_everything(page: Page, objects: str) -> None:
    """Without a mouse: skip to the results, open an image, leave it, and be where one was."""
    _open(page, objects)
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
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
