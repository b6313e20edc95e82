"""The file of the embedded Milvus takes no more room than it needs."""

import sqlite3
from contextlib import closing
from pathlib import Path

import numpy as np
from pymilvus import MilvusClient

from cli.milvus_file import PAGE_BYTES, prepare_milvus_file
from testbed.servers import embedded_milvus

ROWS, DIMENSION = 1000, 320


def page_bytes(file: Path) -> int:
    with closing(sqlite3.connect(file)) as database:
        return int(database.execute("PRAGMA page_size").fetchone()[0])


def fill(client: MilvusClient, *names: str) -> None:
    for name in names:
        client.create_collection(name, dimension=DIMENSION, metric_type="IP")
        embeddings = np.random.default_rng(0).normal(size=(ROWS, DIMENSION)).astype(np.float32)
        client.insert(
            name, [{"id": number, "vector": each, "about": "a" * 800} for number, each in enumerate(embeddings)]
        )


def test_a_file_of_an_earlier_release_is_written_anew(tmp_path: Path) -> None:
    """Its rows are all there, it is smaller, and the next start leaves it alone."""
    said: list[str] = []
    file = tmp_path / "milvus.db"
    sqlite3.connect(file).close()  # as an earlier release left it to Milvus
    server = embedded_milvus(tmp_path, prepared=False)
    server.start()
    fill(MilvusClient(server.url), "kept")
    server.kill()
    before = file.stat().st_size
    assert page_bytes(file) == 4096

    prepare_milvus_file(file, said.append)
    prepare_milvus_file(file, said.append)

    assert len(said) == 1
    assert file.stat().st_size < 0.7 * before
    assert page_bytes(file) == PAGE_BYTES
    assert [each.name for each in tmp_path.glob("milvus.db*")] == ["milvus.db"]
    server.start()
    assert MilvusClient(server.url).query("kept", output_fields=["count(*)"])[0]["count(*)"] == ROWS
    server.kill()


def test_what_dropped_collections_left_is_given_back(tmp_path: Path) -> None:
    """A new file has large pages; after most of it was dropped it is written anew."""
    said: list[str] = []
    file = tmp_path / "milvus.db"
    server = embedded_milvus(tmp_path)
    server.start()
    client = MilvusClient(server.url)
    fill(client, "kept", "dropped", "dropped_too")
    client.drop_collection("dropped")
    client.drop_collection("dropped_too")
    server.kill()
    assert page_bytes(file) == PAGE_BYTES
    before = file.stat().st_size

    prepare_milvus_file(file, said.append)

    assert file.stat().st_size < 0.5 * before
    assert len(said) == 1


def test_a_file_that_is_not_a_database_is_left_to_milvus(tmp_path: Path) -> None:
    """It is named, and nothing fails here."""
    said: list[str] = []
    file = tmp_path / "milvus.db"
    file.write_bytes(b"not a database" * 1000)

    prepare_milvus_file(file, said.append)

    assert "stays as it is" in said[0]
    assert file.read_bytes() == b"not a database" * 1000
