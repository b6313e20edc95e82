"""Schemathesis against a whole Fovea: what it finds in /openapi.json is what clients will send."""

import os
import re
import subprocess
from pathlib import Path

import httpx
import pytest

from tests.gateway.system import System
from tests.support.images import blocks, encoded

ROOT = Path(__file__).parents[2]
COMMAND = ROOT / ".venv" / "peers" / "schemathesis" / "bin" / "schemathesis"
CHECKS = "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance"

# With names that exist the cases get further; with any name at all they get to everything.
EXISTING_ONLY = ["--exclude-method", "DELETE"]


@pytest.mark.more
@pytest.mark.timeout(1_800)
async def test_no_case_gets_a_5xx_or_an_undocumented_answer(
    system: System, http: httpx.AsyncClient, photos: str, tmp_path: Path
) -> None:
    """3,000 requests made from the document, sound and broken: every status and every body is one that it names."""
    if not COMMAND.exists() and not os.environ.get("CI"):
        pytest.skip(f"schemathesis has no environment; `make peers-schemathesis` makes {COMMAND.parents[1]}")
    scene = encoded(blocks({"red": (0.1, 0.1, 0.4, 0.5)}))
    uploaded = await http.post(f"/collections/{photos}/images", files={"images": ("red.png", scene)})
    image_id = uploaded.json()["results"][0]["image_id"]
    config = tmp_path / "schemathesis.toml"
    config.write_text(f'[parameters]\n"path.name" = "{photos}"\n"path.image_id" = "{image_id}"\n')

    cases = _run(system, tmp_path, ["--config-file", str(config)], EXISTING_ONLY, examples=100)
    cases += _run(system, tmp_path, [], [], examples=100)

    assert cases >= 3_000


def _run(system: System, folder: Path, before: list[str], after: list[str], *, examples: int) -> int:
    """Runs every operation with so many cases each, made anew from one seed; the number of cases that were sent."""
    options = ["--checks", CHECKS, "--phases", "examples,coverage,fuzzing", "--max-examples", str(examples)]
    options += ["--seed", "1", "--no-shrink", "--continue-on-failure", "--request-timeout", "60", "--workers", "2"]
    run = subprocess.run(
        [COMMAND, *before, "run", f"{system.url}/openapi.json", *options, *after],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
    )
    assert run.returncode == 0, run.stdout[-8_000:]
    counted = re.search(r"(\d[\d,]*) generated", run.stdout)
    assert counted is not None, run.stdout[-2_000:]
    return int(counted[1].replace(",", ""))
