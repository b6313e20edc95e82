"""`fovea ingest` against a real ingest service: what it takes, leaves out, prunes and follows."""

import json
import shutil
import signal
import subprocess
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import grpc
import pytest
from google.protobuf.json_format import MessageToDict
from typer.testing import CliRunner, Result

from cli.main import app
from cli.ports import free_ports
from fovea.ingest.v1 import ingest_pb2, ingest_pb2_grpc
from tests.cli.running import FOVEA
from tests.support.bundles import tiny_image_bundle
from tests.support.images import encoded, plain
from tests.support.processes import Server, eventually, server_process
from tests.support.services import encoder_process


@dataclass(slots=True)
class Service:
    """An ingest service, its image root and the folder where it keeps uploads."""

    address: str
    root: Path
    uploads: Path
    settings: dict[str, Any]

    def ingest(self, folder: Path, name: str, *options: object) -> Result:
        """`fovea ingest` into a collection, which is created with the first call; in this process, to save its start.

        Paths among the options are ingested too.
        """
        create = ("--create", "--encoder", "tiny", "--ingest", self.address)
        return CliRunner().invoke(app, [str(each) for each in ("ingest", folder, "-c", name, *create, *options)])

    def answer(self, folder: Path, name: str, *options: object) -> Any:
        """Its JSON answer."""
        done = self.ingest(folder, name, *options, "--json")
        assert done.exit_code == 0, done.stderr
        return json.loads(done.stdout)

    def stored(self, name: str) -> dict[str, dict[str, Any]]:
        """The metadata of everything in a collection, by uri."""
        with grpc.insecure_channel(self.address) as channel:
            stub = ingest_pb2_grpc.IngestServiceStub(channel)
            page = stub.ListImages(ingest_pb2.ListImagesRequest(collection=name, page_size=1000))
        return {image.uri: MessageToDict(image.metadata) for image in page.images}

    @contextmanager
    def process(self) -> Iterator[Server]:
        """The running service, always at the same address."""
        with server_process(self.uploads.parent, "ingest", **self.settings) as server:
            yield server


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory, milvus_lite_uri: str, redis_url: str) -> Iterator[Service]:
    """A service that all tests share: use folders and collections of your own."""
    home = tmp_path_factory.mktemp("service")
    root = tmp_path_factory.mktemp("root")
    with encoder_process(home, tiny_image_bundle(home / "tiny").folder) as encoder:
        address = f"127.0.0.1:{free_ports(1)[0]}"
        images = {"roots": [str(root)], "uploads": str(home / "uploads")}
        stores = {"encoders": [encoder], "milvus_uri": milvus_lite_uri, "redis_url": redis_url}
        service = Service(address, root, home / "uploads", {"address": address, **images, **stores})
        with service.process():
            yield service


@pytest.fixture
def name() -> str:
    """A collection of the test's own."""
    return f"i_{uuid.uuid4().hex[:12]}"


@pytest.fixture
def folder(service: Service, name: str) -> Path:
    """Three images below the image root, and what is known of one of them."""
    folder = service.root / name
    folder.mkdir()
    for colour in ("red", "green", "blue"):
        (folder / f"{colour}.png").write_bytes(encoded(plain(colour)))
    (folder / "about.jsonl").write_text('{"file": "red.png", "metadata": {"place": "Rome"}}\n')
    return folder


def test_what_moved_keeps_its_metadata_and_what_went_is_deleted(service: Service, folder: Path, name: str) -> None:
    """With --prune the collection has the folder's files, whether they moved before this ingest or before an earlier one."""
    service.answer(folder, name, "--metadata", folder / "about.jsonl")
    (folder / "sub").mkdir()
    (folder / "red.png").rename(folder / "sub/rot.png")
    (folder / "green.png").unlink()

    moved = service.answer(folder, name, "--prune")
    assert (moved["added"], moved["pruned"], moved["moved"], moved["failed"]) == (1, 2, 1, 0)
    assert service.stored(name) == {f"{folder}/blue.png": {}, f"{folder}/sub/rot.png": {"place": "Rome"}}

    (folder / "sub/rot.png").rename(folder / "again.png")
    service.answer(folder, name)
    assert len(service.stored(name)) == 3
    service.answer(folder, name, "--prune")
    assert service.stored(name) == {f"{folder}/blue.png": {}, f"{folder}/again.png": {"place": "Rome"}}


def test_other_folders_are_never_pruned(service: Service, folder: Path, name: str) -> None:
    """Pruning stays below the folder that was named, and spares what only looks like it."""
    beside = folder.with_name(f"{folder.name}2")
    shutil.copytree(folder, beside)
    service.answer(folder, name)
    service.answer(beside, name)
    shutil.rmtree(beside)

    pruned = service.answer(folder, name, "--prune")

    assert pruned["pruned"] == 0
    assert len(service.stored(name)) == 6


def test_an_empty_folder_is_pruned_only_when_asked_by_name(service: Service, folder: Path, name: str) -> None:
    """An unmounted disk costs nothing; a folder that really is empty, or gone, can be pruned."""
    service.answer(folder, name)
    away = folder.rename(folder.with_name("away"))
    assert "is not a folder" in service.ingest(folder, name, "--prune").stderr
    folder.mkdir()
    refused = service.ingest(folder, name, "--prune")
    assert refused.exit_code == 1
    assert "--prune-empty" in refused.stderr
    assert len(refused.stderr.splitlines()) == 1
    assert len(service.stored(name)) == 3

    assert service.answer(folder, name, "--prune-empty")["pruned"] == 3
    away.rename(folder)
    assert service.answer(folder, name)["added"] == 3
    shutil.rmtree(folder)
    assert service.answer(folder, name, "--prune-empty")["pruned"] == 3


def test_what_is_excluded_is_pruned_too(service: Service, folder: Path, name: str) -> None:
    """What a person excludes is not found any more; its file stays."""
    service.answer(folder, name)
    (folder / ".foveaignore").write_text("red.*\n")

    assert service.answer(folder, name, "--prune", "--exclude", "blue.png")["pruned"] == 2
    assert service.stored(name) == {f"{folder}/green.png": {}}
    assert (folder / "red.png").exists()


def test_what_is_left_out_and_warned_of_is_reported(service: Service, folder: Path, name: str) -> None:
    """People and programs hear which files were left out, and what was odd about those that were taken."""
    for left in ("IMG_1.NEF", "IMG_2.nef", "notes.txt"):
        (folder / left).write_bytes(b"")
    (folder / "moving.gif").write_bytes(encoded(plain("red"), "GIF", save_all=True, append_images=[plain("blue")]))

    report = service.answer(folder, name)
    assert [(each["count"], each["reason"].split()[0]) for each in report["left_out"]] == [(2, "camera"), (2, "not")]
    assert report["left_out"][0]["uris"] == [f"{folder}/IMG_1.NEF", f"{folder}/IMG_2.nef"]
    assert report["warnings"] == [
        {"reason": "only the first frame was read", "count": 1, "uris": [f"{folder}/moving.gif"]}
    ]
    table = service.ingest(folder, name).stdout
    assert "camera raw files cannot be read; convert them" in table
    assert "IMG_2.nef" in table


def test_a_folder_with_nothing_to_read_says_what_it_holds(service: Service, tmp_path: Path, name: str) -> None:
    """A folder of raw files only is not simply empty."""
    (tmp_path / "IMG_1.NEF").write_bytes(b"")

    refused = service.ingest(tmp_path, name)

    assert refused.exit_code == 1
    assert "there are no images" in refused.stderr
    assert "camera raw" in refused.stderr


def test_metadata_without_an_image_is_reported(service: Service, folder: Path, name: str) -> None:
    """A line that describes nothing is named, and the rest is taken."""
    (folder / "about.jsonl").write_text('{"file": "RED.PNG", "metadata": {}}\n')

    done = service.ingest(folder, name, "--metadata", folder / "about.jsonl")

    assert done.exit_code == 0
    assert "about.jsonl, line 1" in done.stderr
    assert "RED.PNG is not among the images" in done.stderr


def test_files_and_folders_are_taken_together(service: Service, folder: Path, tmp_path: Path, name: str) -> None:
    """Each image once, under the path at which a scan finds it; files that are not images are left out with the reason."""
    (tmp_path / "one.png").write_bytes(encoded(plain("yellow")))
    (tmp_path / "link.png").symlink_to(tmp_path / "one.png")
    (tmp_path / "notes.txt").write_text("")
    count = len([file for file in folder.iterdir() if file.suffix == ".png"])

    report = service.answer(
        folder, name, tmp_path / "one.png", folder / "red.png", tmp_path / "link.png", tmp_path / "notes.txt"
    )

    assert report["added"] == count + 2
    assert [group["uris"] for group in report["left_out"] if "notes.txt" in group["uris"][0]]
    assert {f"{tmp_path}/one.png", f"{tmp_path}/link.png", f"{folder}/red.png"} <= service.stored(name).keys()
    assert "is not a folder" in service.ingest(tmp_path / "nowhere.png", name).stderr
    assert "follows one folder" in service.ingest(folder, name, tmp_path / "one.png", "--watch").stderr


def test_a_dry_run_says_what_would_be_done_and_does_nothing(service: Service, folder: Path, name: str) -> None:
    """Its report is that of the ingest after it."""
    first = service.answer(folder, name, "--dry-run")
    assert first["dry_run"]
    with pytest.raises(grpc.RpcError):
        service.stored(name)
    assert service.answer(folder, name)["added"] == first["added"] > 0

    (folder / "red.png").unlink()
    (folder / "new.png").write_bytes(encoded(plain("yellow")))
    (folder / "green.png").write_bytes(encoded(plain("green", (50, 60))))
    before = service.stored(name)
    planned = service.answer(folder, name, "--dry-run", "--prune")
    assert service.stored(name) == before
    done = service.answer(folder, name, "--prune")
    counts = ("added", "updated", "unchanged", "pruned", "moved")
    assert [planned[each] for each in counts] == [done[each] for each in counts]
    assert (planned["added"], planned["updated"], planned["pruned"]) == (1, 1, 1)
    assert "nothing was changed" in service.ingest(folder, name, "--dry-run").stdout


def test_images_outside_the_roots_are_copied_only_when_asked(service: Service, tmp_path: Path, name: str) -> None:
    """Without --copy one line says what to do; inside the roots nothing is copied at all."""
    image = encoded(plain("red", (33, 44)))
    for directory in (tmp_path, service.root / name):
        directory.mkdir(exist_ok=True)
        (directory / "a.png").write_bytes(image)

    def kept() -> list[Path]:
        return [path for path in service.uploads.rglob("*") if path.is_file() and path.read_bytes() == image]

    assert service.answer(service.root / name, name)["warnings"] == []
    for status in ("added", "unchanged"):
        report = service.answer(tmp_path, name)
        assert report[status] == 1
        [warning] = report["warnings"]
        assert "fovea up --root DIR" in warning["reason"]
        assert "--copy" in warning["reason"]
    assert kept() == []
    assert service.answer(tmp_path, name, "--copy")["warnings"] == []
    assert len(kept()) == 1


class Watching:
    """A `fovea ingest --watch` under way."""

    def __init__(self, service: Service, folder: Path, name: str, *options: str) -> None:
        create = ["--create", "--encoder", "tiny", "--ingest", service.address]
        command = [FOVEA, "ingest", str(folder), "-c", name, *create, "--watch", *options]
        self._log = folder.with_name(f"{name}.log")
        with self._log.open("w") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log)
        self.says("Watching")

    def says(self, text: str, times: int = 1) -> None:
        """Wait until it said something so often."""
        eventually(lambda: self._log.read_text().count(text) >= times or self._process.poll() is not None, timeout_s=60)
        assert self._process.poll() is None, self._log.read_text()

    def stop(self) -> int:
        """Ctrl-C; the exit status."""
        self._process.send_signal(signal.SIGINT)
        return self._process.wait(20)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()


def test_a_watch_follows_moves_and_outlives_a_folder_that_is_away(service: Service, folder: Path, name: str) -> None:
    """What moves keeps its metadata, what goes is deleted, and a folder that is away for a moment costs nothing."""
    metadata = ("--metadata", str(folder / "about.jsonl"))
    with Watching(service, folder, name, "--prune", *metadata) as watching:
        (folder / "red.png").rename(folder / "rot.png")
        (folder / "green.png").unlink()
        watching.says("2 pruned, 1 of them moved")
        assert service.stored(name) == {f"{folder}/blue.png": {}, f"{folder}/rot.png": {"place": "Rome"}}

        away = folder.rename(folder.with_name(f"{name}_away"))
        watching.says("is not a folder; trying again")
        folder.mkdir()
        watching.says("unmounted disk looks the same")
        folder.rmdir()
        away.rename(folder)
        (folder / "new.png").write_bytes(encoded(plain("yellow")))
        watching.says("1 added", times=2)
        assert len(service.stored(name)) == 3
        assert watching.stop() == 0


def test_failures_of_a_watch_count_until_they_are_mended(service: Service, folder: Path, name: str) -> None:
    """A file that was cut off and is whole now has not failed; one that still is has, and the exit status says so."""
    with Watching(service, folder, name) as watching:
        (folder / "cut.png").write_bytes(encoded(plain("red"))[:100])
        watching.says("1 failed")
        (folder / "cut.png").write_bytes(encoded(plain("red", (90, 90))))
        watching.says("1 added")
        assert watching.stop() == 0
    with Watching(service, folder, name) as watching:
        (folder / "bad.png").write_bytes(b"not an image")
        watching.says("1 failed")
        assert watching.stop() == 1


@pytest.mark.more
def test_a_watch_outlives_the_service(service: Service, folder: Path, name: str) -> None:
    """What changes while the service is away is sent when it is back."""
    mine = Service(f"127.0.0.1:{free_ports(1)[0]}", service.root, service.uploads, dict(service.settings))
    mine.settings["address"] = mine.address
    with mine.process() as first:
        watching = Watching(mine, folder, name)
        first.process.kill()
        first.process.wait()
    with watching:
        (folder / "late.png").write_bytes(encoded(plain("yellow")))
        watching.says("cannot be reached; trying again")
        with mine.process():
            watching.says("1 added")
            assert f"{folder}/late.png" in service.stored(name)
            assert watching.stop() == 0
