"""A name server, so that a test decides which addresses a name stands for; run it in a network of the test's own."""

import socket
import struct
import threading
from collections.abc import Mapping, Sequence

_ADDRESS_RECORD = 1
_INTERNET = 1
# The name of an answer is that of the question, which begins behind the header.
_NAME_OF_QUESTION = 0xC00C
_ANSWER_FLAGS = 0x8580


class NameServer:
    """Answers what `addresses` says when it is asked; names end in `.test`, and other names have no address."""

    def __init__(self, host: str = "127.0.0.1", port: int = 53) -> None:
        self.addresses: Mapping[str, Sequence[str]] = {}
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind((host, port))
        threading.Thread(target=self._answer, name="names", daemon=True).start()

    def _answer(self) -> None:
        while True:
            query, peer = self._socket.recvfrom(4096)
            self._socket.sendto(self._response(query), peer)

    def _response(self, query: bytes) -> bytes:
        """The answer to a query of one question; no record may be kept, as its time to live is 0."""
        labels, at = [], 12
        while length := query[at]:
            labels.append(query[at + 1 : at + 1 + length].decode())
            at += 1 + length
        (kind,) = struct.unpack_from(">H", query, at + 1)
        found = self.addresses.get(".".join(labels).lower(), ()) if kind == _ADDRESS_RECORD else ()
        header = query[:2] + struct.pack(">HHHHH", _ANSWER_FLAGS, 1, len(found), 0, 0)
        record = struct.pack(">HHHIH", _NAME_OF_QUESTION, _ADDRESS_RECORD, _INTERNET, 0, 4)
        return header + query[12 : at + 5] + b"".join(record + socket.inet_aton(address) for address in found)
