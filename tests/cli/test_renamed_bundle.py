"""A collection that was made with the former default, when another bundle has its name now."""

import json
import shutil
import signal
from pathlib import Path

from tests.cli.running import Up, answer, fovea
from tests.support.bundles import tiny_image_bundle
from tests.support.images import encoded, plain

FORMER = Path(__file__).parents[2] / "models" / "general-2"


def test_a_collection_finds_its_encoder_whatever_it_is_called(tmp_path: Path) -> None:
    """Made with `general`, it is searched and filled with `general-2`, which embeds into its space; its namesake is offered."""
    images, former, now = tmp_path / "images", tmp_path / "former", tmp_path / "now"
    images.mkdir()
    for colour in ("red", "green"):
        (images / f"{colour}.png").write_bytes(encoded(plain(colour)))
    shutil.copytree(FORMER, former / "general")
    description = json.loads((FORMER / "bundle.json").read_text())
    (former / "general" / "bundle.json").write_text(json.dumps({**description, "name": "general", "is_default": True}))
    tiny_image_bundle(now / "general", "general", is_default=True)
    data = tmp_path / "data"

    with Up(data, former) as up:
        answer("ingest", images, "-c", "colours", "--create", data=data)
        made = answer("collections", "show", "colours", data=data)
        assert up.stop(signal.SIGTERM) == 0
    (images / "blue.png").write_bytes(encoded(plain("blue")))
    with Up(data, now, FORMER) as up:
        answer("ingest", images, "-c", "colours", data=data)
        shown = answer("collections", "show", "colours", data=data)
        found = fovea("search", "-c", "colours", "--image", images / "blue.png", "--limit", 1, data=data)
        assert up.stop(signal.SIGTERM) == 0

    assert (made["encoder"], made["space"]) == ("general", description["space"])
    assert (shown["space"], shown["image_count"], shown["suggested_encoder"]) == (description["space"], 3, "general")
    assert found.exit_code == 0, found.stderr
    assert "blue.png" in found.stdout
