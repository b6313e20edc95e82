"""One connection from a front to the model process, with the slots that came with it."""

import contextlib
import json
import logging
import os
import socket
import struct
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from google.rpc import status_pb2

from encoders.bundle import Bundle
from encoders.errors import ModelError
from encoders.serving.session import ModelInput
from rpc.errors import DeadlineExceeded, ServiceError, Unavailable, from_status
from rpc.priority import Priority
from services.encoder.call import ModelCall
from services.encoder.fronts.contents import answer_of
from services.encoder.fronts.free_slots import FreeSlots
from services.encoder.fronts.packets import MAX_BYTES, Ended, Ending, Submitted, Withdrawn, packet, records
from services.encoder.fronts.slots import ModelSlots, SlotBlock

logger = logging.getLogger(__name__)

# A model process that reads nothing for so long is as good as ended.
_SEND_TIMEOUT = struct.pack("ll", 5, 0)


@dataclass(frozen=True, slots=True)
class _Waiting:
    """Who gets the answer of a slot."""

    call: ModelCall[Any]
    position: int


class ModelConnection:
    """Submits inputs and hands their answers to the calls; when it has ended, so has every call that waited."""

    def __init__(self, connection: socket.socket, block: SlotBlock, bundles: Mapping[str, Bundle]) -> None:
        self.block = block
        self._connection = connection
        self._bundles = bundles
        self._free = {
            (model.name, lane): FreeSlots(block.numbers(model.name, lane))
            for model in block.models
            for lane in Priority
        }
        self._waiting: dict[int, _Waiting] = {}
        self._lock = threading.Lock()
        # Why calls end here; None while it serves.
        self._refusal: Unavailable | None = None

    @classmethod
    def open(cls, address: bytes, bundles: Mapping[str, Bundle], timeout_s: float | None = None) -> "ModelConnection":
        """Wait until the model process serves; OSError where it ends before, or does not serve in time."""
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        try:
            connection.settimeout(timeout_s)
            connection.connect(address)
            block = _received_block(connection)
            connection.settimeout(None)
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, _SEND_TIMEOUT)
        except BaseException:
            connection.close()
            raise
        return cls(connection, block, bundles)

    def free(self, name: str, lane: Priority) -> int:
        """How many slots of a model and lane are free now."""
        return self._free[name, lane].count

    def submit(self, name: str, call: ModelCall[Any], position: int, inputs: Sequence[ModelInput]) -> None:
        """Let a model see inputs of a call; `position` is that of the first."""
        free = self._free[name, call.priority]
        while inputs:
            slots = free.take(len(inputs), call.deadline)
            if not slots:
                call.fail(self._refusal or DeadlineExceeded("the deadline passed before the model was free"))
                return
            is_submitted = False
            try:
                is_submitted = self._write(slots, call, position, inputs[: len(slots)])
            finally:
                if not is_submitted:
                    free.give_back(*slots)
            position, inputs = position + len(slots), inputs[len(slots) :]

    def withdraw(self, call: ModelCall[Any]) -> None:
        """Have the model drop the inputs of a call that is over."""
        with self._lock:
            # Sent under the lock: once an answer has come, another call may use the slot.
            if left := [Withdrawn(slot) for slot, waiting in self._waiting.items() if waiting.call is call]:
                self._send(packet(left))

    def receive(self) -> None:
        """Hand out answers until the model process ends."""
        try:
            while data := self._connection.recv(MAX_BYTES):
                for record in records(data):
                    assert isinstance(record, Ended), "the model process sends nothing else"
                    self._end(record)
        except OSError:
            pass  # it was killed
        except Exception:
            # A fault of ours; a new connection begins with all slots free.
            logger.exception("an answer of the model process cannot be read")

    def close(self, refusal: Unavailable) -> None:
        """End the calls that wait, and those that come."""
        with self._lock:
            self._refusal = refusal
            waiting = list(self._waiting.values())
            self._waiting.clear()
        for free in self._free.values():
            free.close()
        for each in waiting:
            each.call.fail(refusal)
        self._connection.close()

    def hang_up(self) -> None:
        """Let `receive` return."""
        with contextlib.suppress(OSError):
            self._connection.shutdown(socket.SHUT_RDWR)

    def _write(self, slots: Sequence[int], call: ModelCall[Any], position: int, inputs: Sequence[ModelInput]) -> bool:
        """Write inputs into slots and submit them; whether they are the model's now."""
        deadline_s = call.deadline.at_s
        sizes = [self.block.write(slot, each) for slot, each in zip(slots, inputs, strict=True)]
        with self._lock:
            if self._refusal is not None:
                call.fail(self._refusal)
            # Asked under the lock of `withdraw`: a decoder that is late cannot submit an input of a call that was withdrawn.
            if call.is_over:
                return False
            self._waiting.update({slot: _Waiting(call, position + offset) for offset, slot in enumerate(slots)})
            self._send(packet(Submitted(slot, size, deadline_s) for slot, size in zip(slots, sizes, strict=True)))
        return True

    def _send(self, data: bytes) -> None:
        try:
            self._connection.send(data)
        except OSError:
            self.hang_up()

    def _end(self, record: Ended) -> None:
        """Hand the outcome of a slot to its call, and the slot to the next input."""
        with self._lock:
            waiting = self._waiting.pop(record.slot)
        name, lane = self.block.owner(record.slot)
        raw = self.block.read(record.slot, record.size)
        outcome: Any = ModelError("the model has no usable answer")
        error: ServiceError | None = None
        if record.ending == Ending.ANSWERED:
            outcome = answer_of(self._bundles[name], raw)
        elif record.ending == Ending.FAILED:
            error = from_status(status_pb2.Status.FromString(raw.tobytes()))
        self._free[name, lane].give_back(record.slot)
        if error is not None:
            waiting.call.fail(error)
        else:
            waiting.call.settle(
                waiting.position,
                outcome,
                queue_s=record.queue_s,
                infer_s=record.infer_s,
                batch_size=record.batch_size,
            )


def _received_block(connection: socket.socket) -> SlotBlock:
    """The memory that the model process sends first, once it serves."""
    described, descriptors, _, _ = socket.recv_fds(connection, MAX_BYTES, 1)
    if not descriptors:
        raise ConnectionResetError("the model process ended")
    try:
        return SlotBlock(descriptors[0], [ModelSlots.of_json(values) for values in json.loads(described)])
    finally:
        os.close(descriptors[0])
