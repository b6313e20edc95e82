"""Fills a collection with a folder of images and asks it with the first one: `search.py SEARCH INGEST FOLDER`."""

import sys
from pathlib import Path

from fovea.client import Client

COLLECTION = "example_python"


def main(search: str, ingest: str, folder: Path) -> None:
    """Print a line for each image that is added, then the hits."""
    images = sorted(folder.glob("*.jpg"))
    with Client(search=search, ingest=ingest) as client:
        client.create_collection(COLLECTION)
        for result in client.ingest(COLLECTION, images):
            print(result.status, result.uri)
        for hit in client.search(COLLECTION, images[0], limit=3):
            print(f"{hit.score:.3f} {hit.uri}")
        client.delete_collection(COLLECTION)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], Path(sys.argv[3]))
