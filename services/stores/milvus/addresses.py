"""What the URL of a Milvus says: `https://user:password@host:19530/database?ca_pem_path=/ca.pem`, or a token before the @.

The options of the query have the names that pymilvus gives them. With `client_pem_path` and `client_key_path` Fovea
shows a certificate of its own.
"""

from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote

from domain.store_urls import StoreUrl, StoreUrlError

_FILES = ("ca_pem_path", "server_pem_path", "client_pem_path", "client_key_path")
_OPTIONS = (*_FILES, "server_name")


def client_options(url: str) -> dict[str, Any]:
    """The arguments of pymilvus's client for a URL; StoreUrlError and OSError say what is wrong with it."""
    parts = StoreUrl.parse(url)
    if len(parts.addresses) != 1:
        return {"uri": url}  # a socket, or what pymilvus refuses
    options = dict(parse_qsl(parts.query))
    if unknown := options.keys() - set(_OPTIONS):
        raise StoreUrlError(f"the Milvus URL cannot be read: it has the unknown option {min(unknown)}")
    for name in _FILES:
        if name in options:
            Path(options[name]).read_bytes()  # so that it is named where it cannot be read
    if "client_pem_path" not in options and "ca_pem_path" in options:
        # With an authority alone, pymilvus looks for it under the other name.
        options["server_pem_path"] = options.pop("ca_pem_path")
    [(host, port)] = parts.addresses
    server = f"[{host}]" if ":" in host else host
    return {
        "uri": f"{parts.scheme}://{server}:{port}" if port else f"{parts.scheme}://{server}",
        "token": unquote(parts.login),
        "db_name": parts.path.strip("/"),
        **options,
    }
