import contextlib
import os
import signal
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from cli.child_process import SUPERVISED
from cli.data_folder import DataFolder
from cli.embedded import redis_command
from testbed.servers import small_disk
from tests.cli.running import FOVEA, Up, answer, fovea, fovea_process
from tests.support.bundles import tiny_detector_bundle, tiny_image_bundle
from tests.support.images import COLOURS, encoded, plain
from tests.support.processes import alive, eventually


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with two tiny bundles."""
    folder = tmp_path_factory.mktemp("models")
    tiny_image_bundle(folder / "tiny", is_default=True)
    tiny_detector_bundle(folder / "tiny_detector")
    return folder


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with an image of each colour."""
    folder = tmp_path_factory.mktemp("images")
    for colour in COLOURS:
        (folder / f"{colour}.png").write_bytes(encoded(plain(colour)))
    return folder


@pytest.fixture(scope="module")
def hostile() -> dict[str, str]:
    """Proxies that lead nowhere, no home, and Kubernetes's variables that are called like settings."""
    proxies = dict.fromkeys(
        ("http_proxy", "https_proxy", "grpc_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"), "http://127.0.0.1:9"
    )
    links = dict.fromkeys(
        ("FOVEA_GATEWAY_PORT", "FOVEA_SEARCH_PORT", "FOVEA_SEARCH_METRICS_PORT", "FOVEA_ENCODER_ADDRESS"),
        "tcp://10.0.0.1:8080",
    )
    return {**proxies, **links, "no_proxy": "intern.example", "HOME": "/nonexistent"}


@pytest.fixture(scope="module")
def up(tmp_path_factory: pytest.TempPathFactory, models: Path, images: Path, hostile: dict[str, str]) -> Iterator[Up]:
    """A system that runs in a hostile environment, with the images in the collection `colours`; Ctrl-C ends it."""
    with Up(tmp_path_factory.mktemp("data"), models, environment=hostile) as running:
        answer("ingest", images, "-c", "colours", "--create", "--encoder", "tiny", data=running.data)
        yield running
        assert running.stop(signal.SIGINT) == 0


def finds(data: Path, image: Path) -> bool:
    """Whether a search for an image brings it back first."""
    done = fovea("search", "-c", "colours", "--image", image, "--limit", 1, data=data)
    return done.exit_code == 0 and image.name in done.stdout


def test_run_file_names_every_address(up: Up) -> None:
    """`run.json` has the agreed keys, and every process runs where it says."""
    run = up.run

    assert set(run) == {"gateway", "search", "ingest", "encoders", "milvus", "redis", "pids"}
    assert set(run["encoders"]) == {"tiny", "tiny_detector"}, "the shipped ones were not asked for"
    assert {"supervisor", "redis", "milvus", "search", "ingest", "gateway"} <= set(run["pids"])
    assert {"encoder-embedding", "encoder-detecting"} <= set(run["pids"])
    assert all(alive(pid) for pid in run["pids"].values())
    assert run["gateway"].startswith("http://127.0.0.1:")


def test_search_finds_what_was_ingested(up: Up, images: Path) -> None:
    """A search from the command line finds the image that it shows."""
    found = answer("search", "-c", "colours", "--image", images / "blue.png", "--limit", 2, data=up.data)

    assert Path(found["hits"][0]["uri"]).name == "blue.png"
    assert found["hits"][0]["score"] == pytest.approx(1, abs=1e-3)


def test_ingest_again_changes_nothing(up: Up, images: Path) -> None:
    """A second run over the same folder reports everything unchanged."""
    again = answer("ingest", images, "-c", "colours", data=up.data)

    assert (again["unchanged"], again["added"], again["failed"]) == (len(COLOURS), 0, 0)


def test_the_default_encoder_need_not_be_named(up: Up, images: Path) -> None:
    """Creating a collection takes a name only, and an ingest that creates one says which encoder was chosen."""
    created = answer("collections", "create", "unnamed", data=up.data)
    done = fovea("ingest", images, "-c", "unnamed_too", "--create", data=up.data)

    assert created["encoder"] == "tiny"
    assert "Created unnamed_too with the default encoder, tiny." in done.stderr
    assert answer("collections", "show", "unnamed_too", data=up.data)["encoder"] == "tiny"


def test_failed_images_are_listed(up: Up, tmp_path: Path) -> None:
    """Images that cannot be read are named with the reason, the others are taken, and the exit code is 1."""
    (tmp_path / "broken.png").write_bytes(b"not an image")
    (tmp_path / "fine.png").write_bytes(encoded(plain("green", (30, 30))))

    done = fovea("ingest", tmp_path, "-c", "failing", "--create", "--encoder", "tiny", data=up.data)

    assert done.exit_code == 1
    assert "1 added, 1 failed" in done.stdout
    assert "broken.png" in done.stdout
    assert "Traceback" not in done.stderr


def test_a_folder_in_which_nothing_can_be_read_fails(up: Up, tmp_path: Path) -> None:
    """Files that fail here, before anything is sent, are failures like the others."""
    with (tmp_path / "huge.png").open("wb") as huge:
        huge.truncate(61 << 20)

    done = fovea("ingest", tmp_path, "-c", "colours", data=up.data)

    assert done.exit_code == 1
    assert "larger than 60 MiB" in done.stdout


def test_a_watched_folder_is_followed(up: Up, tmp_path: Path) -> None:
    """With --watch an image that is added later is found, and Ctrl-C ends the watch as a success."""
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


def test_unknown_collection_says_how_to_create_it(up: Up, images: Path) -> None:
    """Ingest into a collection that does not exist creates nothing and says how to."""
    done = fovea("ingest", images, "-c", "nowhere", data=up.data)

    assert done.exit_code == 1
    assert "fovea collections create nowhere" in done.stderr


def test_a_failed_file_has_a_reason_without_the_names_of_fields(up: Up, tmp_path: Path) -> None:
    """The reason says what is wrong with the file, not which field of a message held it."""
    (tmp_path / "empty.jpg").write_bytes(b"")
    answer("collections", "create", "plain", "--encoder", "tiny", data=up.data)

    done = fovea("ingest", tmp_path, "-c", "plain", data=up.data)

    assert "is empty (0 bytes)." in done.stdout
    assert "item.image" not in done.stdout


def test_an_error_of_a_search_names_the_option(up: Up, images: Path, tmp_path: Path) -> None:
    """A part of the query is called what the user typed, not by its number."""
    (tmp_path / "broken.png").write_bytes(b"not an image")
    files = ("--image", images / "red.png", "--image", tmp_path / "broken.png")

    broken = fovea("search", "-c", "colours", *files, data=up.data)
    missing = fovea("search", "-c", "colours", "--image-id", "0" * 32, data=up.data)
    heavy = fovea("search", "-c", "colours", *files[:2], "--weight", 1e9, data=up.data)

    assert f"fovea: --image {tmp_path / 'broken.png'}: " in broken.stderr
    assert f"fovea: --image-id {'0' * 32}: " in missing.stderr
    assert f"fovea: --weight of --image {images / 'red.png'}: " in heavy.stderr


def test_collections_are_created_listed_and_deleted(up: Up) -> None:
    """The life of a collection on the command line."""
    objects = ("--mode", "objects", "--detector", "tiny_detector")
    created = answer("collections", "create", "brief", "--encoder", "tiny", *objects, data=up.data)
    listed = answer("collections", "list", data=up.data)
    refused = fovea("collections", "delete", "brief", data=up.data)
    deleted = answer("collections", "delete", "brief", "--yes", data=up.data)

    assert (created["mode"], created["detector"]) == ("objects", "tiny_detector")
    assert "brief" in [collection["name"] for collection in listed]
    assert (refused.exit_code, "--yes" in refused.stderr) == (1, True)
    assert deleted == {"deleted": "brief", "image_count": 0}
    assert fovea("collections", "show", "brief", data=up.data).exit_code == 1


def test_counts_are_mentioned_only_where_they_are_unknown(up: Up) -> None:
    """Tables leave out what is so for every collection; JSON has every field."""
    answer("collections", "create", "counted", "--encoder", "tiny", data=up.data)

    for command in (("list", "--wide"), ("show", "counted")):
        assert "counts unknown" not in fovea("collections", *command, data=up.data).stdout
    assert answer("collections", "show", "counted", data=up.data)["counts_unknown"] is False


def test_encode_writes_embeddings(up: Up, images: Path, tmp_path: Path) -> None:
    """`fovea encode` writes one row for each image."""
    out = tmp_path / "two.npy"
    files = (images / "red.png", images / "blue.png")

    done = answer("encode", *files, "--encoder", "tiny", "-o", out, data=up.data)

    assert (done["rows"], done["dimension"]) == (2, 16)


@pytest.mark.parametrize("name", ["search", "redis", "milvus", "encoder-embedding", "ingest", "gateway"])
def test_killed_child_is_started_again(up: Up, images: Path, name: str) -> None:
    """A child that dies is started again where it was, and search works again."""
    before = up.pids[name]

    subprocess.run(["kill", "-9", str(before)], check=True)

    eventually(lambda: up.pids[name] != before and f"{name} is back" in up.said(), timeout_s=60)
    eventually(lambda: finds(up.data, images / "red.png"), timeout_s=60)
    assert f"{name} ended (killed by signal 9): starting it again" in up.said()


def test_second_system_on_the_same_data_is_refused(up: Up) -> None:
    """Two systems never share a data folder; the second says where the first is."""
    done = fovea_process("up", "--data", up.data, "--port", 0)

    assert done.returncode == 1
    assert len(done.stderr.strip().splitlines()) == 1
    assert f"already runs on {up.data} at {up.run['gateway']} (process {up.pids['supervisor']})" in done.stderr


def test_port_in_use_is_said(tmp_path: Path, models: Path) -> None:
    """A taken port costs one line that names the flag."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = fovea_process("up", "--data", tmp_path, "--models", models, "--no-shipped", "--port", port)

    assert done.returncode == 1
    assert done.stderr.strip() == f"fovea: port {port} is in use: give another with --port, or stop what listens there"


def test_several_defaults_are_noted(tmp_path: Path, models: Path) -> None:
    """Who starts the system reads which of the bundles that claim to be the default is used."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        done = fovea_process("up", "--data", tmp_path, "--models", models, "--port", taken.getsockname()[1])

    assert "note: general, tiny all say that they are the default: general is used" in done.stderr


def test_child_that_cannot_start_is_named_with_the_reason(tmp_path: Path, models: Path) -> None:
    """A damaged model stops the start with one line that names the file, and nothing is left running."""
    tiny_image_bundle(tmp_path / "damaged", "damaged")
    model = next((tmp_path / "damaged").glob("*.onnx"))
    model.write_bytes(model.read_bytes()[:-1] + b"x")

    bundles = ("--models", models, "--models", tmp_path / "damaged")
    done = fovea_process("up", "--data", tmp_path / "data", *bundles, "--port", 0)

    assert done.returncode == 1
    assert "encoder-embedding cannot start" in done.stderr
    assert model.name in done.stderr
    assert not marked_processes(tmp_path / "data")


def test_a_system_stops_without_a_trace_and_survives_being_killed(tmp_path: Path, models: Path, images: Path) -> None:
    """Kill -9 ends every process, SIGTERM too within 10 s; what was acknowledged is there afterwards."""
    with Up(tmp_path, models) as killed:
        answer("ingest", images, "-c", "colours", "--create", "--encoder", "tiny", data=tmp_path)
        pids = killed.pids.values()
        killed.stop(signal.SIGKILL)
        eventually(lambda: not any(alive(pid) for pid in pids))
        assert "does not run" in fovea("collections", "list", data=tmp_path).stderr

    # What a supervisor leaves behind where the kernel does not end its children.
    redis = redis_command(tmp_path / "redis")
    left_behind = subprocess.Popen(redis.argv, cwd=redis.folder, stdout=subprocess.DEVNULL)
    with Up(tmp_path, models) as stopped:
        assert left_behind.wait(1) == 0
        assert finds(tmp_path, images / "yellow.png")
        pids = stopped.pids.values()
        assert stopped.stop() == 0
        assert not any(alive(pid) for pid in pids)
        assert not marked_processes(tmp_path)
        assert not (tmp_path / "run.json").exists()


def test_a_full_disk_is_survived(tmp_path: Path, models: Path, images: Path) -> None:
    """With no room for a byte the system stays up; killed children come back, all of it once there is room again."""
    with small_disk(tmp_path / "disk", mib=64) as disk, Up(disk / "data", models) as up:
        answer("ingest", images, "-c", "colours", "--create", "--encoder", "tiny", data=up.data)
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
        eventually(lambda: finds(up.data, images / "red.png"), timeout_s=60)
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
def test_hanging_children_are_started_again(up: Up, images: Path) -> None:
    """What is there and answers nothing for half a minute is ended and started again, whatever it is."""
    before = up.pids
    children = [name for name in before if name != "supervisor"]
    for name in children:
        os.kill(before[name], signal.SIGSTOP)

    eventually(
        lambda: all(f"{name} does not answer any more: ending it" in up.said() for name in children), timeout_s=90
    )
    eventually(lambda: not set(before.values()) & {up.pids[name] for name in children}, timeout_s=60)
    eventually(lambda: finds(up.data, images / "red.png"), timeout_s=90)


def test_a_hostile_environment_changes_nothing(up: Up, images: Path, hostile: dict[str, str]) -> None:
    """The system and the commands reach each other whatever proxies, homes and service links are set."""
    environment = {**hostile, "FOVEA_DATA": str(up.data)}

    ingested = fovea_process(
        "ingest", images, "-c", "hostile", "--create", "--encoder", "tiny", environment=environment
    )
    found = fovea_process("search", "-c", "hostile", "--image", images / "red.png", environment=environment)

    assert ingested.returncode == 0, ingested.stderr
    assert "red.png" in found.stdout
    assert httpx.get(f"{up.run['gateway']}/readyz", trust_env=False, timeout=30).status_code == 200


def marked_processes(data: Path) -> list[str]:
    """Processes that carry a data folder's mark."""
    mark = f"{SUPERVISED}={DataFolder(data).path}".encode()
    return [entry.name for entry in Path("/proc").glob("[0-9]*") if mark in _environment(entry)]


def _environment(process: Path) -> bytes:
    try:
        return (process / "environ").read_bytes()
    except OSError:
        return b""
