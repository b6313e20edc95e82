import pytest
from playwright.sync_api import Browser, expect

from tests.gateway.page.actions import DESKTOP
from tests.gateway.secured import OTHER, OWN, Secured

pytestmark = pytest.mark.browser

_WIDTH_OF_THUMBNAIL = """async images => {
  const listed = await (await fetch(images)).json()
  const image = new Image()
  image.src = `${images}/${listed.images[0].image_id}/thumbnail`
  await image.decode()
  return image.naturalWidth
}"""


def test_the_page_works_with_a_token(browser: Browser, secured: Secured) -> None:
    """The browser asks for it, as for any password, and sends it with images too; the page shows what it may."""
    credentials = {"username": "me", "password": secured.tokens["reader"]}
    context = browser.new_context(
        base_url=secured.system.url,
        viewport=DESKTOP,
        http_credentials=credentials,  # type: ignore[arg-type]
    )
    page = context.new_page()
    page.goto("/")

    # Options of a closed list are hidden.
    expect(page.get_by_role("option", name=OWN, include_hidden=True)).to_have_count(1)
    expect(page.get_by_role("option", name=OTHER, include_hidden=True)).to_have_count(0)
    assert page.evaluate(_WIDTH_OF_THUMBNAIL, f"/api/v1/collections/{OWN}/images") > 0
    context.close()
