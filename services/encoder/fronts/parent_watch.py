"""What a child owes its parent: answers about itself, and its own end when the parent has ended."""

import os
import socket
import struct
import threading

from prometheus_client import generate_latest

QUESTION = struct.Struct("<I")
"""The number of the question."""
HEADER = struct.Struct("<I?I")
"""The number of the question, whether the child serves, and the length of its metrics, which follow."""


class ParentWatch:
    """Answers the parent in a thread of its own, for as long as it lives."""

    def __init__(self, parent: socket.socket) -> None:
        self.is_serving = False
        self._parent = parent

    def start(self) -> None:
        """Answer from now on."""
        threading.Thread(target=self._answer_forever, name="parent", daemon=True).start()

    def _answer_forever(self) -> None:
        try:
            while len(question := self._parent.recv(QUESTION.size, socket.MSG_WAITALL)) == QUESTION.size:
                metrics = generate_latest()
                self._parent.sendall(HEADER.pack(*QUESTION.unpack(question), self.is_serving, len(metrics)) + metrics)
        finally:
            # Without its parent nobody would end this process, and its port would stay taken.
            os._exit(1)
