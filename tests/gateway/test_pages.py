import re

import httpx
import pytest

from tests.gateway.system import System


@pytest.mark.parametrize(("path", "filename"), [("/", "main.js"), ("/", "base.css"), ("/docs", "swagger-ui-bundle.js")])
def test_files_are_compressed_and_kept(system: System, path: str, filename: str) -> None:
    """A browser asks for a file once: its address changes with its content, and it travels compressed."""
    page = httpx.get(f"{system.url}{path}")
    address = re.search(rf'="(/[^"]*/{re.escape(filename)})"', page.text)
    assert address is not None
    file = httpx.get(f"{system.url}{address[1]}")

    assert file.status_code == 200
    assert file.headers["cache-control"] == "public, max-age=31536000, immutable"
    assert file.headers["content-encoding"] == "gzip"
    assert file.headers["x-content-type-options"] == "nosniff"
    again = httpx.get(f"{system.url}{address[1]}", headers={"If-None-Match": file.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")


def test_page_itself_is_asked_for_each_time(system: System) -> None:
    """A browser that has the page gets 304; after an upgrade it gets the new one, with the new addresses."""
    page = httpx.get(system.url)
    again = httpx.get(system.url, headers={"If-None-Match": page.headers["etag"]})

    assert page.headers["cache-control"] == "no-cache"
    assert (again.status_code, again.content) == (304, b"")
    assert again.headers["etag"] == page.headers["etag"]


def test_files_of_another_release_are_not_served(system: System) -> None:
    """A page that stayed open across an upgrade is answered 404, not with scripts that do not fit it."""
    assert httpx.get(f"{system.url}/page/0123456789abcdef/main.js").status_code == 404
