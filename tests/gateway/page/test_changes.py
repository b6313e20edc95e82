"""What people change: collections, uploads, folders and deletions."""

import re

import httpx
import pytest
from playwright.sync_api import Page, Route, expect

from tests.gateway.page.actions import check_layout, create_collection, open_collection, upload_of
from tests.gateway.system import System
from tests.support.images import encoded, plain

pytestmark = pytest.mark.browser


def test_collection_is_created_and_a_folder_ingested_with_progress(
    page: Page, api: httpx.Client, system: System, name: str
) -> None:
    """From an empty collection to results, with what failed and why."""
    folder = system.root / name
    folder.mkdir()
    for number in range(40):
        (folder / f"{number:02}.png").write_bytes(encoded(plain("red", (64 + number, 64))))
    (folder / "broken.jpg").write_bytes(b"\xff\xd8\xff cut off")
    (folder / "IMG_1.NEF").write_bytes(b"")
    create_collection(api, f"{name}_old")
    page.goto("/")
    page.get_by_role("button", name="New collection").click()
    page.get_by_label("Name", exact=True).fill(name)
    page.get_by_label("Encoder").select_option("tiny")
    check_layout(page, "create")
    page.get_by_role("button", name="Create").click()
    expect(page.locator(".empty")).to_contain_text(f"{name} is empty")

    page.locator(".empty").get_by_role("button", name="Add images").click()
    page.get_by_label("A folder on the server").fill(str(folder))
    check_layout(page, "add")
    page.get_by_role("button", name="Ingest").click()
    card = page.locator(".progress")
    expect(card.get_by_role("progressbar")).to_be_visible()
    expect(card).to_contain_text("Done: 40 added, 1 not taken")
    card.get_by_text("1 image not taken").click()
    expect(card).to_contain_text("broken.jpg")
    card.get_by_text("1 file left out").click()
    expect(card).to_contain_text("Camera raw files cannot be read; convert them to JPEG, PNG, WebP or TIFF. IMG_1.NEF")
    expect(page.locator("#collection option:checked")).to_have_text(f"{name} · 40 images")
    expect(page.locator(".tile")).to_have_count(40)
    check_layout(page, "ingested")


def test_folder_is_chosen_from_the_roots(page: Page, api: httpx.Client, system: System, name: str) -> None:
    """Folders of the server are shown to choose from; pruning removes what is gone from the folder."""
    folder = system.root / name / "summer"
    folder.mkdir(parents=True)
    for colour in ("red", "blue"):
        (folder / f"{colour}.png").write_bytes(encoded(plain(colour)))
    create_collection(api, name)
    page.goto(f"/#{name}")
    for gone in ("", "red.png"):
        page.locator("#add").click()
        page.get_by_label("A folder on the server").fill("")
        page.get_by_label("A folder on the server").press("Tab")
        page.get_by_role("button", name=name, exact=True).click()
        page.get_by_role("button", name="summer", exact=True).click()
        expect(page.get_by_label("A folder on the server")).to_have_value(str(folder))
        if gone:
            (folder / gone).unlink()
            page.get_by_label("Then remove images whose files are gone").check()
            check_layout(page, "folders")
        page.get_by_role("button", name="Ingest").click()
        expect(page.locator(".tile")).to_have_count(1 if gone else 2)
    expect(page.locator(".progress").first).to_contain_text("1 removed, as their files are gone")


def test_collection_gets_other_names(page: Page, objects: str, name: str) -> None:
    """What people call a collection, and its name for programs, are changed in one dialog; links by the former name hold."""
    open_collection(page, objects)
    page.get_by_role("button", name="Change this collection").click()
    dialog = page.locator("#collection-dialog")
    expect(dialog).to_contain_text("Finds images of the same colours.")
    check_layout(page, "collection")
    dialog.get_by_label("What people call it").fill("Coloured blocks")
    dialog.get_by_label("Name for programs").fill(f"{name}_new")
    dialog.get_by_role("button", name="Save").click()
    expect(page.locator("#collection option:checked")).to_have_text("Coloured blocks · 4 images")
    expect(page).to_have_url(re.compile(f"#{name}_new$"))
    page.goto(f"/#{name}")
    expect(page.locator("#results-title")).to_have_text("All of Coloured blocks")


def test_collection_is_checked_for_damage(page: Page, objects: str) -> None:
    """A scrub is started in the dialog of a collection, and its end says what was found."""
    open_collection(page, objects)
    page.get_by_role("button", name="Change this collection").click()
    page.get_by_role("button", name="Look for damage").click()
    expect(page.locator(".progress")).to_contain_text("Done: 4 images checked, none damaged")


def test_collection_is_deleted_after_a_question(page: Page, api: httpx.Client, objects: str) -> None:
    """The dialog of a collection ends it."""
    open_collection(page, objects)
    page.get_by_role("button", name="Change this collection").click()
    page.get_by_role("button", name="Delete collection").click()
    page.locator("#confirm-dialog").get_by_role("button", name="Delete collection").click()
    expect(page.locator(f"#collection option[value={objects}]")).to_have_count(0)
    assert api.get(f"/collections/{objects}").status_code == 404


def test_system_shows_health_models_and_jobs(
    page: Page, api: httpx.Client, objects: str, system: System, name: str
) -> None:
    """Every service and encoder process, what is served and for what, and the jobs with their ends."""
    folder = system.root / name
    folder.mkdir()
    (folder / "red.png").write_bytes(encoded(plain("red")))
    assert api.post(f"/collections/{objects}/ingest", json={"folder": str(folder)}).status_code == 202
    page.goto(f"/#{objects}")
    expect(page.locator(".tile").first).to_be_visible()
    page.get_by_role("button", name="System").click()
    expect(page.locator("#system-health li")).to_have_text(
        ["search ready", "ingest ready", f"encoder {system.encoder} ready"]
    )
    expect(page.locator("#system-models")).to_contain_text("Finds images of the same colours.")
    expect(page.locator("#system-models")).to_contain_text("4 kinds of objects")
    expect(page.locator("#system-jobs .progress").first).to_contain_text("Done: 1 added")
    check_layout(page, "system")


def test_selected_images_are_compared_exported_and_deleted(page: Page, objects: str) -> None:
    """Several images are chosen by their boxes; what is done with them names how many."""
    open_collection(page, objects)
    for filename in ("green.png", "yellow.png"):
        page.locator(".grid li", has_text=filename).hover()
        page.get_by_label(f"Select {filename}").check()
    bar = page.get_by_role("group", name="Selected images")
    expect(bar).to_contain_text("2 selected")
    bar.get_by_role("button", name="Compare").click()
    expect(page.locator("#compare-dialog img")).to_have_count(2)
    expect(page.locator("#compare-facts tr", has_text="shop")).to_contain_text("north")
    check_layout(page, "compare")
    page.keyboard.press("Escape")

    page.locator("#tools summary").click()
    with page.expect_download() as saved:
        page.get_by_role("button", name="CSV").click()
    assert saved.value.suggested_filename == f"{objects}.csv"
    lines = saved.value.path().read_text().splitlines()
    assert lines[0] == "image_id,uri"
    assert len(lines) == 3
    bar.get_by_role("button", name="Delete").click()
    page.locator("#confirm-dialog").get_by_role("button", name="Delete").click()
    expect(page.locator(".tile")).to_have_count(2)
    expect(bar).to_be_hidden()


def test_default_encoder_is_proposed_with_what_it_is_for(page: Page) -> None:
    """The default comes first, not the first by name, and each choice says what it is for and what can be searched."""
    page.goto("/")
    page.get_by_role("button", name="New collection").click()
    hint = page.locator("#create-encoder-hint")
    expect(page.locator("#create-encoder option")).to_have_text(["tiny (default)", "another", "former"])
    expect(page.get_by_label("Encoder")).to_have_value("tiny")
    expect(hint).to_have_text(
        "Finds images of the same colours. Made for coloured blocks. Searched by image, sketch, text (en). "
        "Licence: Apache-2.0."
    )
    page.get_by_label("Encoder").select_option("another")
    expect(hint).to_have_text("Searched by image, sketch, text (en). Licence: Apache-2.0.")
    page.get_by_label("Objects in images").check()
    expect(page.locator("#create-detector-hint")).to_have_text("Knows 4 kinds of objects. Licence: Apache-2.0.")


def test_folder_outside_the_roots_is_explained(page: Page, objects: str, complaints: list[str]) -> None:
    """What the server refuses is said where people typed it."""
    open_collection(page, objects)
    page.get_by_role("button", name="Add images").click()
    page.get_by_label("A folder on the server").fill("/etc")
    page.get_by_role("button", name="Ingest").click()

    expect(page.locator("#folder-error")).to_contain_text("outside the image roots")
    assert all("403" in complaint for complaint in complaints)
    complaints.clear()


def test_uploads_fail_alone(page: Page, objects: str, complaints: list[str]) -> None:
    """Of several uploads a broken one is named, the others are found."""
    open_collection(page, objects)
    page.get_by_role("button", name="Add images").click()
    expect(page.locator("#add-dialog")).to_be_visible()
    page.set_input_files("#upload", [upload_of("new.png", encoded(plain("red"))), upload_of("broken.png", b"<html>")])

    expect(page.locator(".progress")).to_contain_text("Done: 1 added, 1 not taken")
    expect(page.locator(".tile")).to_have_count(5)
    assert "415" in complaints.pop()


def test_image_is_deleted_after_a_question(page: Page, objects: str) -> None:
    """Deleting asks first, and the image is gone from the grid."""
    open_collection(page, objects)
    page.get_by_role("button", name="green.png").click()
    page.get_by_role("dialog").get_by_role("button", name="Delete").click()
    question = page.locator("#confirm-dialog")
    expect(question).to_contain_text("Its file stays")
    question.get_by_role("button", name="Cancel").click()
    page.get_by_role("dialog").get_by_role("button", name="Delete").click()
    question.get_by_role("button", name="Delete").click()

    expect(page.locator(".tile")).to_have_count(3)
    expect(page.get_by_role("button", name="green.png")).to_have_count(0)


def test_a_collection_that_went_is_explained(
    page: Page, api: httpx.Client, objects: str, name: str, complaints: list[str]
) -> None:
    """Somebody deletes the collection that the page shows: the page says so and leads to what there is."""
    create_collection(api, f"{name}_other")
    open_collection(page, objects)
    assert api.delete(f"/collections/{objects}").status_code == 204
    page.get_by_label("Words", exact=True).fill("green")
    expect(page.locator(".is-error")).to_contain_text(f"{objects} was deleted")
    page.get_by_role("button", name="Show what there is").click()

    expect(page.locator("#results-title")).to_contain_text("All of")
    expect(page.locator("#collection option", has_text=f"{objects} ·")).to_have_count(0)
    complaints.clear()


def _with_suggestions(route: Route) -> None:
    """The collections as they are listed when their encoder has been replaced, which is served here for the way back."""
    response = route.fetch()
    listed = response.json()
    for collection in listed.get("collections", ()):
        if collection["encoder"] == "former":
            collection["suggested_encoder"] = "tiny"
    route.fulfill(response=response, json=listed)


def test_a_better_default_is_offered_and_taken(page: Page, api: httpx.Client, name: str) -> None:
    """A collection of another encoder than the default one moves on request, with progress; then nothing is offered."""
    for collection in (name, f"{name}_kept"):
        create_collection(api, collection, encoder="former")
        for number in range(5):
            image = {"file": (f"{number}.png", encoded(plain("red", (64 + number, 64))))}
            assert api.post(f"/collections/{collection}/images", files=image).status_code == 200
    page.route("**/api/v1/collections", _with_suggestions)
    page.goto(f"/#{name}")
    offer = page.locator("#suggestion")
    expect(offer).to_contain_text(
        f"{name} was made with an encoder that is not served any more; tiny is the default now. Finds images of the same colours."
    )
    check_layout(page, "suggestion")
    offer.get_by_role("button", name="Move to tiny").click()
    expect(page.locator(".progress")).to_contain_text("Done: 5 images embedded with tiny")
    expect(offer).to_be_hidden()
    expect(page.locator(".tile")).to_have_count(5)
    assert api.get(f"/collections/{name}").json()["encoder"] == "tiny"

    page.get_by_label("Collection", exact=True).select_option(f"{name}_kept")
    offer.get_by_role("button", name="Keep it").click()
    expect(offer).to_be_hidden()
    page.reload()
    expect(page.locator(".tile")).to_have_count(5)
    expect(offer).to_be_hidden()


def test_a_display_name_is_shown(page: Page, api: httpx.Client, name: str) -> None:
    """A collection is shown by the name that people gave it."""
    create_collection(api, name, display_name="Größe & <b>Co</b>")
    page.goto(f"/#{name}")
    expect(page.locator("#collection option:checked")).to_have_text("Größe & <b>Co</b> · 0 images")
    expect(page.locator(".empty")).to_contain_text("Größe & <b>Co</b> is empty")
