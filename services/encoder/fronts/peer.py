"""One front as the model process sees it: its inputs go into the lanes of all fronts, answers into its slots."""

import logging
import queue
import socket
import threading
import time
from collections.abc import Iterator, Mapping
from itertools import chain, islice
from typing import Any

import numpy as np

from encoders.bundle import Bundle
from encoders.errors import InvalidContent, ModelError
from encoders.serving.session import Embedding, RawDetections
from rpc.errors import Cancelled, ServiceError, to_status
from services.encoder.batcher import Batcher
from services.encoder.fronts.contents import arrays_of, input_of
from services.encoder.fronts.packets import (
    MAX_BYTES,
    MOST_RECORDS,
    Ended,
    Ending,
    Submitted,
    Withdrawn,
    packet,
    records,
)
from services.encoder.fronts.slots import SlotBlock

logger = logging.getLogger(__name__)


class SlotInput:
    """The input of one slot, as the lanes and the batcher know it."""

    span = None  # it stays with the front

    def __init__(self, peer: "FrontPeer", slot: int, deadline_s: float) -> None:
        self.slot = slot
        self._peer = peer
        self._deadline_s = deadline_s

    @property
    def is_over(self) -> bool:
        """Whether its front has ended, or its caller waits no longer."""
        return self._peer.has_left or time.monotonic() >= self._deadline_s

    def settle(
        self,
        position: int,  # noqa: ARG002 - a slot has one input
        outcome: Embedding | RawDetections | InvalidContent | ModelError,
        *,
        queue_s: float = 0.0,
        infer_s: float = 0.0,
        batch_size: int = 0,
    ) -> None:
        """Write the answer over the input."""
        self._peer.answer(self, outcome, (queue_s, infer_s, batch_size))

    def fail(self, error: ServiceError) -> None:
        """Write the error over the input; it ends the whole call."""
        self._peer.fail(self, error)


class FrontPeer:
    """Serves one front until it leaves, however it leaves: what it had is dropped, and its memory goes with its slots."""

    def __init__(
        self,
        connection: socket.socket,
        block: SlotBlock,
        batchers: Mapping[str, Batcher[Any]],
        bundles: Mapping[str, Bundle],
    ) -> None:
        self.has_left = False
        self._connection = connection
        self._block = block
        self._batchers = batchers
        self._bundles = bundles
        self._under_way: dict[int, SlotInput] = {}
        self._lock = threading.Lock()
        self._ended: queue.SimpleQueue[Ended | None] = queue.SimpleQueue()

    def serve(self) -> None:
        """Take what the front submits until it leaves."""
        # A thread of its own, so that a front that does not read holds up nobody else.
        sender = threading.Thread(target=self._send_forever, name="answers to a front", daemon=True)
        sender.start()
        try:
            while data := self._connection.recv(MAX_BYTES):
                for record in records(data):
                    self._take(record)
        except OSError:
            pass  # it was killed
        except Exception:
            logger.exception("a front sent what cannot be read")
        finally:
            self.has_left = True
            self._ended.put(None)
            self._connection.close()

    def answer(
        self,
        owner: SlotInput,
        outcome: Embedding | RawDetections | InvalidContent | ModelError,
        ran: tuple[float, float, int],
    ) -> None:
        """End an input with the model's answer, or as one that it has no answer for."""
        if not self._is_first_end(owner):
            return
        size, ending = 0, Ending.UNUSABLE
        if not isinstance(outcome, InvalidContent | ModelError):
            try:
                size, ending = self._block.write(owner.slot, *arrays_of(outcome)), Ending.ANSWERED
            except ValueError:
                logger.exception("an answer is larger than those at the start, and does not fit its slot")
        self._ended.put(Ended(owner.slot, size, ending, *ran))

    def fail(self, owner: SlotInput, error: ServiceError) -> None:
        """End an input with an error for its whole call."""
        if self._is_first_end(owner):
            status = to_status(error).SerializeToString()
            size = self._block.write(owner.slot, np.frombuffer(status, np.uint8))
            self._ended.put(Ended(owner.slot, size, Ending.FAILED, 0.0, 0.0, 0))

    def _take(self, record: object) -> None:
        if isinstance(record, Submitted):
            name, lane = self._block.owner(record.slot)
            owner = SlotInput(self, record.slot, record.deadline_s)
            with self._lock:
                self._under_way[record.slot] = owner
            values = input_of(self._bundles[name], self._block.read(record.slot, record.size))
            self._batchers[name].enqueue(lane, owner, 0, values)
        elif isinstance(record, Withdrawn):
            self._withdraw(record.slot)

    def _withdraw(self, slot: int) -> None:
        with self._lock:
            owner = self._under_way.get(slot)
        name, lane = self._block.owner(slot)
        # One that is in a batch already ends with it: until then the model may read its slot.
        if owner is not None and self._batchers[name].dequeue(lane, owner):
            owner.fail(Cancelled("the caller has left"))

    def _is_first_end(self, owner: SlotInput) -> bool:
        """Whether an input ends now; a batch that fails while it is settled ends some of its inputs twice."""
        with self._lock:
            if self._under_way.get(owner.slot) is not owner:
                return False
            del self._under_way[owner.slot]
        return not self.has_left

    def _send_forever(self) -> None:
        while (first := self._ended.get()) is not None:
            # All that waits by now goes in one packet, and wakes the front once.
            waiting = islice(self._waiting(), MOST_RECORDS - 1)
            try:
                self._connection.send(packet(chain([first], waiting)))
            except OSError:
                return  # it has left, which the other thread sees too

    def _waiting(self) -> Iterator[Ended]:
        while True:
            try:
                ended = self._ended.get_nowait()
            except queue.Empty:
                return
            if ended is None:
                self._ended.put(None)
                return
            yield ended
