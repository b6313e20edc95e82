import os
import subprocess
import sys
from pathlib import Path

import pytest

from cli.child import Child, Program
from cli.data_folder import DataFolder
from cli.failure import CommandFailed
from cli.ports import free_ports, require_free
from cli.running import Running, without_password
from cli.supervisor import Supervisor
from tests.cli.parts import never, nothing, script
from tests.cli.running import alive, eventually


def supervisor(data: DataFolder, *programs: Program) -> Supervisor:
    """A supervisor that tells nobody."""
    return Supervisor(programs, data, say=lambda _: None, changed=nothing)


async def test_a_failing_start_ends_the_others(data: DataFolder) -> None:
    """When one program cannot start, its last words are the reason and nothing stays behind."""
    lasting = script("lasting", "import time; time.sleep(60)")
    failing = script("failing", "raise OSError('the disk is full')", is_ready=never)
    children = supervisor(data, lasting, failing)

    with pytest.raises(CommandFailed, match="failing cannot start: the disk is full"):
        await children.__aenter__()

    assert not alive(children.pids["lasting"])


async def test_a_start_without_end_names_who_is_late(data: DataFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who is not ready in time is named, with what it said last."""
    monkeypatch.setattr("cli.supervisor._START_TIMEOUT_S", 1.0)
    prompt = script("prompt", "import time; time.sleep(60)")
    late = script("late", "import time; print('waiting for the stores', flush=True); time.sleep(60)", is_ready=never)

    with pytest.raises(CommandFailed, match=r"not ready after 1 s: late; .* waiting for the stores"):
        await supervisor(data, prompt, late).__aenter__()


async def test_what_ignores_sigterm_is_killed_with_its_children(data: DataFolder) -> None:
    """Patience ends, also for grandchildren."""
    stubborn = (
        "import signal, subprocess, sys, time; signal.signal(15, signal.SIG_IGN); "
        "print(subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)']).pid, flush=True); time.sleep(60)"
    )
    child = Child(script("stubborn", stubborn, patience_s=0.2), data)
    await child.start()
    eventually(lambda: child.log.read_text() != "")

    await child.stop()

    assert not alive(child.pid)
    eventually(lambda: not alive(int(child.log.read_text())))


async def test_higher_ranks_stop_first(data: DataFolder) -> None:
    """What uses others stops before them."""
    order = data.path / "order"
    code = (
        "import signal, sys, time; signal.signal(15, lambda *_: (open({!r}, 'a').write({!r}), sys.exit())); "
        "open({!r}, 'w'); time.sleep(60)"
    )
    programs = [script(name, code.format(str(order), name, str(data.path / name)), rank=rank)
                for name, rank in (("a", 0), ("b", 2), ("c", 1))]  # fmt: skip
    async with supervisor(data, *programs):
        eventually(lambda: all((data.path / name).exists() for name in "abc"))

    assert order.read_text() == "bca"


def test_json_log_lines_are_understood(data: DataFolder) -> None:
    """The last words of a process that logs JSON are its message, not its JSON."""
    child = Child(script("json", ""), data)
    child.log.write_text('{"level": "info", "message": "starting"}\n{"level": "error", "message": "no such model"}\n')

    assert child.last_words() == "no such model"


def test_a_data_folder_is_held_by_one(data: DataFolder) -> None:
    """The lock says who holds it, and goes with its holder."""
    with (
        data.locked(),
        pytest.raises(CommandFailed, match=rf"already runs on .* \(process {os.getpid()}\)"),
        data.locked(),
    ):
        pass

    assert not data.is_in_use


def test_passwords_stay_out_of_the_run_file(data: DataFolder) -> None:
    """`run.json` shows where Redis is, not how to get in."""
    assert without_password("redis://user:secret@host:6379/0") == "redis://user:***@host:6379/0"
    assert without_password("redis://:secret@host") == "redis://:***@host"
    assert without_password("http://host:19530") == "http://host:19530"


def test_the_run_file_reads_back(data: DataFolder) -> None:
    """What was written is read, with the agreed keys."""
    running = Running("http://h:1", "h:2", "h:3", {"tiny": "h:4"}, "http://h:5", "redis://h:6", {"search": 7})
    running.write(data)

    with data.locked():
        assert Running.read(data) == running
    assert "does not run" in _failure(data)


def _failure(data: DataFolder) -> str:
    with pytest.raises(CommandFailed) as caught:
        Running.read(data)
    return str(caught.value)


def test_free_ports_are_free_and_different() -> None:
    """Every port can be listened on, and lies below those of outgoing connections."""
    ports = free_ports(20)

    assert len(set(ports)) == 20
    assert all(20_000 <= port < 32_000 for port in ports)
    for port in ports:
        require_free(port, "--port")


def test_the_leash_holds(tmp_path: Path) -> None:
    """A child ends with its parent even when the parent is killed."""
    leash = Path(sys.modules["cli.child"].__file__ or "").with_name("leash.py")
    code = (
        "import os, subprocess, sys, time; os.environ['FOVEA_LEASHED'] = '{}'; "
        f"child = subprocess.Popen([sys.executable, '-I', '-S', {str(leash)!r}, str(os.getpid()), '/bin/sleep', '60']); "
        "print(child.pid, flush=True); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        assert alive(child)
        parent.kill()
        parent.wait()
    eventually(lambda: not alive(child))
