import json
from pathlib import Path

import pytest

from rpc.security.access import Access
from rpc.security.tokens import Right, watched_tokens
from tests.cli.running import answer, fovea


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "tokens.json"


def test_a_token_works_and_is_not_in_the_file(file: Path) -> None:
    """Its text is printed once; the file has a hash, which only its owner may read."""
    done = fovea("token", "create", "--read", "a", "--write", "a", "--write", "b_*", "--encode", "--file", file)
    token = done.stdout.strip()

    caller = Access(watched_tokens(file)).caller(f"Bearer {token}")

    assert (caller.entry.right_to("a"), caller.entry.right_to("b_x"), caller.entry.right_to("c")) == (2, Right.WRITE, 0)
    assert (caller.entry.encode, caller.entry.files, caller.entry.expires) == (True, False, None)
    assert token not in file.read_text()
    assert token.rpartition("_")[2] not in file.read_text()
    assert file.stat().st_mode & 0o777 == 0o600


def test_a_revoked_token_is_gone_and_others_stay(file: Path) -> None:
    """By its id, which a list shows beside the rights."""
    first = answer("token", "create", "--name", "first", "--admin", "*", "--file", file)
    second = answer("token", "create", "--name", "second", "--days", "2", "--calls-per-s", "5", "--file", file)
    assert [row["name"] for row in answer("token", "list", "--file", file)] == ["first", "second"]

    assert fovea("token", "revoke", first["id"], "--file", file).exit_code == 0

    [left] = json.loads(file.read_text())["tokens"]
    assert (left["id"], left["calls_per_s"], left["expires"][-1]) == (second["id"], 5.0, "Z")
    again = fovea("token", "revoke", first["id"], "--file", file)
    assert (again.exit_code, again.stderr) == (1, f"fovea: there is no token {first['id']} in {file}\n")


@pytest.mark.parametrize("name", ["A", "a b", "*a", "a**", ""])
def test_a_name_that_no_collection_has_is_refused(file: Path, name: str) -> None:
    """A right that is misspelled would be none."""
    done = fovea("token", "create", "--read", name, "--file", file)

    assert done.exit_code == 1
    assert "a name of a collection is like" in done.stderr
    assert not file.exists()
