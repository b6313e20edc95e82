import os
from pathlib import Path

import pytest

from cli.data_folder import DataFolder, RunningSystem
from cli.errors import CommandFailed

SYSTEM = RunningSystem("http://h:1", "h:2", "h:3", {"tiny": "h:4"}, "http://h:5", "redis://h:6", {"search": 7})


def failure(data: DataFolder) -> str:
    """Why no running system can be read."""
    with pytest.raises(CommandFailed) as caught:
        RunningSystem.read(data)
    return str(caught.value)


def refusal(data: DataFolder) -> str:
    """Why the folder cannot be locked."""
    with pytest.raises(CommandFailed) as caught, data.locked():
        pass
    return str(caught.value)


def test_a_data_folder_is_held_by_one(data: DataFolder) -> None:
    """The lock says who holds it and, once that system answers, at which URL; it goes with its holder."""
    with data.locked():
        starting = refusal(data)
        SYSTEM.write(data)
        answering = refusal(data)

    assert f"already runs on {data.path} (process {os.getpid()})" in starting
    assert f"already runs on {data.path} at http://h:1 (process {os.getpid()})" in answering
    assert not data.is_in_use


def test_passwords_stay_out_of_the_run_file(data: DataFolder) -> None:
    """`run.json` shows where Redis is, not how to get in."""
    RunningSystem("", "", "", {}, "http://root:secret@host:19530", "redis://user:secret@host:6379/0").write(data)

    assert "secret" not in data.run_file.read_text()


def test_the_run_file_reads_back(data: DataFolder) -> None:
    """What was written is read, with the agreed keys."""
    SYSTEM.write(data)

    with data.locked():
        assert RunningSystem.read(data) == SYSTEM
    assert "does not run" in failure(data)


def test_a_run_file_of_another_version_is_named(tmp_path: Path) -> None:
    """What cannot be understood is not guessed at."""
    data = DataFolder(tmp_path)
    data.run_file.write_text('{"gateway": "http://127.0.0.1:1", "unknown": 1}')

    with data.locked():
        assert "another version of Fovea runs on" in failure(data)
        assert "already runs on" in refusal(data)
