import contextlib
import os
import signal
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from cli.data_folder import DataFolder
from cli.embedded import redis_command
from cli.orphans import MARK
from testbed.servers import small_disk
from tests.cli.running import FOVEA, Up, alive, answer, eventually, fovea
from tests.support.bundles import tiny_detector_bundle, tiny_image_bundle
from tests.support.images import COLOURS, encoded, plain


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with two tiny bundles."""
    folder = tmp_path_factory.mktemp("models")
    tiny_image_bundle(folder / "tiny")
    tiny_detector_bundle(folder / "tiny_detector")
    return folder


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a picture of each colour."""
    folder = tmp_path_factory.mktemp("pictures")
    for colour in COLOURS:
        (folder / f"{colour}.png").write_bytes(encoded(plain(colour)))
    return folder


@pytest.fixture(scope="module")
def up(tmp_path_factory: pytest.TempPathFactory, models: Path, pictures: Path) -> Iterator[Up]:
    """A running system with the pictures in the collection `colours`."""
    with Up(tmp_path_factory.mktemp("data"), models) as running:
        answer("ingest", pictures, "-c", "colours", "--create", "--encoder", "tiny", data=running.data)
        yield running


def finds(data: Path, picture: Path) -> bool:
    """Whether a search for a picture brings it back first."""
    done = fovea("search", "-c", "colours", "--image", picture, "--limit", 1, data=data)
    return done.returncode == 0 and picture.name in done.stdout


def test_run_file_names_every_address(up: Up) -> None:
    """`run.json` has the agreed keys, and every process runs where it says."""
    run = up.run

    assert set(run) == {"gateway", "search", "ingest", "encoders", "milvus", "redis", "pids"}
    assert set(run["encoders"]) == {"tiny", "tiny_detector"}, "the shipped ones were not wanted"
    assert {"supervisor", "redis", "milvus", "search", "ingest", "gateway", "encoder-tiny"} <= set(run["pids"])
    assert all(alive(pid) for pid in run["pids"].values())
    assert run["gateway"].startswith("http://127.0.0.1:")


def test_search_finds_what_was_ingested(up: Up, pictures: Path) -> None:
    """A search from the command line finds the picture that it shows."""
    found = answer("search", "-c", "colours", "--image", pictures / "blue.png", "--limit", 2, data=up.data)

    assert Path(found["hits"][0]["uri"]).name == "blue.png"
    assert found["hits"][0]["score"] == pytest.approx(1, abs=1e-3)


def test_ingest_again_changes_nothing(up: Up, pictures: Path) -> None:
    """A second run over the same folder reports everything unchanged."""
    again = answer("ingest", pictures, "-c", "colours", data=up.data)

    assert (again["unchanged"], again["added"], again["failed"]) == (len(COLOURS), 0, 0)


def test_failed_pictures_are_listed(up: Up, tmp_path: Path) -> None:
    """Pictures that cannot be read are named with the reason, the others are taken, and the exit code is 1."""
    (tmp_path / "broken.png").write_bytes(b"not a picture")
    (tmp_path / "fine.png").write_bytes(encoded(plain("green", (30, 30))))

    done = fovea("ingest", tmp_path, "-c", "failing", "--create", "--encoder", "tiny", data=up.data)

    assert done.returncode == 1
    assert "1 added, 1 failed" in done.stdout
    assert "broken.png" in done.stdout
    assert "Traceback" not in done.stderr


def test_a_folder_in_which_nothing_can_be_read_is_told(up: Up, tmp_path: Path) -> None:
    """Files that fail here, before anything is sent, are failures like the others."""
    with (tmp_path / "huge.png").open("wb") as huge:
        huge.truncate(33 << 20)

    done = fovea("ingest", tmp_path, "-c", "colours", data=up.data)

    assert done.returncode == 1
    assert "larger than 32 MiB" in done.stdout


def test_a_watched_folder_is_followed(up: Up, tmp_path: Path) -> None:
    """With --watch a picture that is added later is found, and Ctrl-C ends the watch as a success."""
    create = ("--create", "--encoder", "tiny")
    command = [FOVEA, "ingest", str(tmp_path), "-c", "watched", *create, "--watch", "--data", str(up.data)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as watching:
        assert watching.stderr is not None
        assert "Watching" in watching.stderr.readline()
        (tmp_path / "late.png").write_bytes(encoded(plain("green")))
        assert "1 added" in watching.stderr.readline()
        watching.send_signal(signal.SIGINT)
        assert watching.wait(10) == 0

    found = answer("search", "-c", "watched", "--image", tmp_path / "late.png", data=up.data)
    assert Path(found["hits"][0]["uri"]).name == "late.png"


def test_unknown_collection_says_how_to_create_it(up: Up, pictures: Path) -> None:
    """Ingest into a collection that does not exist creates nothing and says how to."""
    done = fovea("ingest", pictures, "-c", "nowhere", data=up.data)

    assert done.returncode == 1
    assert "fovea collections create nowhere" in done.stderr


def test_a_failed_file_has_a_reason_without_the_names_of_fields(up: Up, tmp_path: Path) -> None:
    """Whoever sent a file reads what is wrong with it, not which field of a message held it."""
    (tmp_path / "empty.jpg").write_bytes(b"")
    answer("collections", "create", "plain", "--encoder", "tiny", data=up.data)

    done = fovea("ingest", tmp_path, "-c", "plain", data=up.data)

    assert "The picture is empty (0 bytes)." in done.stdout
    assert "item.image" not in done.stdout


def test_collections_are_created_listed_and_deleted(up: Up) -> None:
    """The life of a collection on the command line."""
    objects = ("--mode", "objects", "--detector", "tiny_detector")
    created = answer("collections", "create", "brief", "--encoder", "tiny", *objects, data=up.data)
    listed = answer("collections", "list", data=up.data)
    refused = fovea("collections", "delete", "brief", data=up.data)
    deleted = answer("collections", "delete", "brief", "--yes", data=up.data)

    assert (created["mode"], created["detector"]) == ("objects", "tiny_detector")
    assert "brief" in [collection["name"] for collection in listed]
    assert (refused.returncode, "--yes" in refused.stderr) == (1, True)
    assert deleted == {"deleted": "brief", "image_count": 0}
    assert fovea("collections", "show", "brief", data=up.data).returncode == 1


def test_people_are_told_of_counts_only_where_they_are_unknown(up: Up) -> None:
    """Tables leave out what is so for every collection; JSON has every field."""
    answer("collections", "create", "counted", "--encoder", "tiny", data=up.data)

    for command in (("list", "--wide"), ("show", "counted")):
        assert "counts unknown" not in fovea("collections", *command, data=up.data).stdout
    assert answer("collections", "show", "counted", data=up.data)["counts_unknown"] is False


def test_encode_writes_unit_vectors(up: Up, pictures: Path, tmp_path: Path) -> None:
    """`fovea encode` writes one row for each picture."""
    out = tmp_path / "two.npy"
    files = (pictures / "red.png", pictures / "blue.png")

    done = answer("encode", *files, "--encoder", "tiny", "-o", out, data=up.data)

    assert (done["rows"], done["dimension"]) == (2, 16)


@pytest.mark.parametrize("name", ["search", "redis", "milvus", "encoder-tiny", "ingest", "gateway"])
def test_killed_child_is_started_again(up: Up, pictures: Path, name: str) -> None:
    """A child that dies is started again where it was, and search works again."""
    before = up.pids[name]

    subprocess.run(["kill", "-9", str(before)], check=True)

    eventually(lambda: up.pids[name] != before and f"{name} is back" in up.said(), timeout_s=60)
    eventually(lambda: finds(up.data, pictures / "red.png"), timeout_s=60)
    assert f"{name} ended (killed by signal 9): starting it again" in up.said()


def test_second_system_on_the_same_data_is_refused(up: Up) -> None:
    """Two systems never share a data folder."""
    done = fovea("up", "--data", up.data, "--port", 0)

    assert done.returncode == 1
    assert len(done.stderr.strip().splitlines()) == 1
    assert f"already runs on {up.data}" in done.stderr


def test_port_in_use_is_said(tmp_path: Path, models: Path) -> None:
    """A taken port costs one line that names the flag."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = fovea("up", "--data", tmp_path, "--models", models, "--port", port)

    assert done.returncode == 1
    assert done.stderr.strip() == f"fovea: port {port} is in use: give another with --port, or stop what listens there"


def test_child_that_cannot_start_is_named_with_the_reason(tmp_path: Path, models: Path) -> None:
    """A damaged model stops the start with one line that names the file, and nothing is left running."""
    tiny_image_bundle(tmp_path / "damaged", "damaged")
    model = next((tmp_path / "damaged").glob("*.onnx"))
    model.write_bytes(model.read_bytes()[:-1] + b"x")

    done = fovea("up", "--data", tmp_path / "data", "--models", models, "--models", tmp_path / "damaged", "--port", 0)

    assert done.returncode == 1
    assert "encoder-damaged cannot start" in done.stderr
    assert model.name in done.stderr
    assert not marked_processes(tmp_path / "data")


def test_a_system_stops_without_a_trace_and_survives_being_killed(tmp_path: Path, models: Path, pictures: Path) -> None:
    """SIGTERM ends every process within 10 s; kill -9 ends them too; what was acknowledged is there afterwards."""
    with Up(tmp_path, models) as first:
        answer("ingest", pictures, "-c", "colours", "--create", "--encoder", "tiny", data=tmp_path)
        pids = first.pids.values()
        assert first.stop() == 0
        assert not any(alive(pid) for pid in pids)
        assert not marked_processes(tmp_path)
        assert not (tmp_path / "run.json").exists()

    with Up(tmp_path, models) as second:
        assert finds(tmp_path, pictures / "yellow.png")
        pids = second.pids.values()
        second.stop(signal.SIGKILL)
        eventually(lambda: not any(alive(pid) for pid in pids))
        assert "does not run" in fovea("collections", "list", data=tmp_path).stderr

    # What a supervisor without a leash would have left behind.
    redis = redis_command(tmp_path / "redis")
    orphan = subprocess.Popen(redis.argv, cwd=redis.folder, stdout=subprocess.DEVNULL)
    with Up(tmp_path, models) as third:
        assert orphan.wait(1) == 0
        assert finds(tmp_path, pictures / "yellow.png")
        assert third.stop(signal.SIGINT) == 0


def test_a_full_disk_is_lived_through(tmp_path: Path, models: Path, pictures: Path) -> None:
    """With no room for a byte the system stays up; killed children come back, all of it once there is room again."""
    with small_disk(tmp_path / "disk", mib=64) as disk, Up(disk / "data", models) as up:
        answer("ingest", pictures, "-c", "colours", "--create", "--encoder", "tiny", data=up.data)
        before = up.pids
        filler = disk / "filler"
        fill(filler)

        for name in ("search", "redis"):
            os.kill(before[name], signal.SIGKILL)
        eventually(lambda: new_process(up.data, "services.search", before["search"]), timeout_s=60)
        assert up.is_running
        assert httpx.get(f"{up.run['gateway']}/healthz", trust_env=False, timeout=30).status_code == 200

        filler.unlink()
        eventually(lambda: up.pids["search"] != before["search"] and up.pids["redis"] != before["redis"], timeout_s=60)
        eventually(lambda: finds(up.data, pictures / "red.png"), timeout_s=60)
        assert up.stop() == 0


def fill(filler: Path) -> None:
    """Write until there is no room left."""
    with contextlib.suppress(OSError), filler.open("wb", buffering=0) as file:
        while True:
            file.write(bytes(4096))


def new_process(data: Path, module: str, old: int) -> bool:
    """Whether a process of a system runs a module that another process ran before."""
    running = [entry for entry in marked_processes(data) if module in Path(f"/proc/{entry}/cmdline").read_text()]
    return any(int(pid) != old for pid in running)


@pytest.mark.more
def test_hanging_children_are_started_again(up: Up, pictures: Path) -> None:
    """What is there and answers nothing for half a minute is ended and started again, whatever it is."""
    before = up.pids
    children = [name for name in before if name != "supervisor"]
    for name in children:
        os.kill(before[name], signal.SIGSTOP)

    eventually(
        lambda: all(f"{name} does not answer any more: ending it" in up.said() for name in children), timeout_s=90
    )
    eventually(lambda: not set(before.values()) & {up.pids[name] for name in children}, timeout_s=60)
    eventually(lambda: finds(up.data, pictures / "red.png"), timeout_s=90)


def test_a_hostile_environment_changes_nothing(tmp_path: Path, models: Path, pictures: Path) -> None:
    """Proxies that lead nowhere, no home, and Kubernetes's variables that are called like settings."""
    nowhere = "http://127.0.0.1:9"
    proxies = dict.fromkeys(
        ("http_proxy", "https_proxy", "grpc_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"), nowhere
    )
    links = dict.fromkeys(
        ("FOVEA_GATEWAY_PORT", "FOVEA_SEARCH_PORT", "FOVEA_SEARCH_METRICS_PORT", "FOVEA_ENCODER_ADDRESS"),
        "tcp://10.0.0.1:8080",
    )
    environment = {**proxies, **links, "no_proxy": "intern.example", "HOME": str(tmp_path / "nobody")}
    with Up(tmp_path, models, environment=environment) as up, pytest.MonkeyPatch.context() as monkeypatch:
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        answer("ingest", pictures, "-c", "colours", "--create", "--encoder", "tiny", data=tmp_path)
        assert finds(tmp_path, pictures / "red.png")
        assert httpx.get(f"{up.run['gateway']}/readyz", trust_env=False, timeout=30).status_code == 200


def marked_processes(data: Path) -> list[str]:
    """Processes that carry a data folder's mark."""
    mark = f"{MARK}={DataFolder(data).path}".encode()
    return [entry.name for entry in Path("/proc").glob("[0-9]*") if mark in _environment(entry)]


def _environment(process: Path) -> bytes:
    try:
        return (process / "environ").read_bytes()
    except OSError:
        return b""
