"""Where fronts reach the model process: each gets memory of its own, and a thread that serves it."""

import json
import logging
import os
import socket
import struct
import threading
import time
from collections.abc import Mapping, Sequence
from typing import Any

from encoders.bundle import Bundle
from services.encoder.batcher import Batcher
from services.encoder.fronts.contents import input_bytes
from services.encoder.fronts.peer import FrontPeer
from services.encoder.fronts.slots import ModelSlots, SlotBlock

_RETRY_S = 0.1

logger = logging.getLogger(__name__)

_CREDENTIALS = struct.Struct("3i")


def listening_socket() -> socket.socket:
    """A socket under a free name outside of any file system; who holds it open keeps the name."""
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    listening.bind("")
    listening.listen()
    return listening


class FrontListener:
    """Serves the fronts that connect to a socket, in threads that end with the process."""

    def __init__(self, listening: socket.socket, batchers: Mapping[str, Batcher[Any]], *, slots_per_lane: int) -> None:
        self._listening = listening
        self._batchers = batchers
        self._bundles: Mapping[str, Bundle] = {name: batcher.bundle for name, batcher in batchers.items()}
        self._slots: Sequence[ModelSlots] = [
            ModelSlots(name, slots_per_lane, input_bytes(batcher.bundle), batcher.answer_bytes, batcher.choices)
            for name, batcher in batchers.items()
        ]

    def start(self) -> None:
        """Accept from now on."""
        threading.Thread(target=self._accept_forever, name="fronts", daemon=True).start()

    def _accept_forever(self) -> None:
        while True:
            try:
                connection, _ = self._listening.accept()
            except OSError as error:  # no descriptor is left, perhaps for a while
                logger.warning("a front cannot connect: %s", error)
                time.sleep(_RETRY_S)
                continue
            if _user_of(connection) == os.geteuid():
                threading.Thread(target=self._serve, args=(connection,), name="front", daemon=True).start()
            else:
                connection.close()

    def _serve(self, connection: socket.socket) -> None:
        try:
            block = self._offered_block(connection)
        except OSError as error:
            logger.warning("a front cannot be served: %s", error)
            connection.close()  # it tries again
        else:
            FrontPeer(connection, block, self._batchers, self._bundles).serve()

    def _offered_block(self, connection: socket.socket) -> SlotBlock:
        """New memory for a front, which it maps too."""
        block, descriptor = SlotBlock.create(self._slots)
        try:
            socket.send_fds(connection, [json.dumps([slots.as_json() for slots in self._slots]).encode()], [descriptor])
        finally:
            os.close(descriptor)
        return block


def _user_of(connection: socket.socket) -> int:
    """The user whose process is at the other end: a name outside of file systems has no permissions of its own."""
    credentials = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    _, user, _ = _CREDENTIALS.unpack(credentials)
    return int(user)
