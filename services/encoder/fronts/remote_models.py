"""The models of a front: they run in another process, which may end and come back."""

import contextlib
import logging
import threading
import time
from collections.abc import Mapping
from typing import Any, Self

from domain.reasons import SHUTTING_DOWN, STARTING
from encoders.bundle import Bundle
from encoders.serving.session import ModelInput
from rpc.errors import Unavailable
from rpc.priority import Priority
from services.encoder.call import ModelCall
from services.encoder.fronts.board import Board, lane_bound
from services.encoder.fronts.connection import ModelConnection
from services.encoder.model_queue import ModelChoices, ModelQueue

_RETRY_S = 0.1

logger = logging.getLogger(__name__)


class RemoteModels:
    """Connects to the model process, and again when that has ended; as a context manager it hands out answers.

    Entering it waits until the model process has loaded all bundles. With a `board` the queue limit is that of all fronts.
    """

    def __init__(
        self, address: bytes, bundles: Mapping[str, Bundle], *, queue_limit: int, board: Board | None = None
    ) -> None:
        self._address = address
        self._bundles = bundles
        self._stopping = threading.Event()
        self._connection: ModelConnection | None = None
        self.choices: Mapping[str, ModelChoices] = {}
        self.refusal: Unavailable | None = _ended()
        self.queues: Mapping[str, ModelQueue[Any]] = {
            name: RemoteQueue(name, self, queue_limit=queue_limit, board=board) for name in bundles
        }
        self._thread = threading.Thread(target=self._receive_forever, name="answers", daemon=True)

    def try_connect(self, timeout_s: float) -> None:
        """Connect to a model process that serves already; what does not in time is connected to later."""
        with contextlib.suppress(OSError):
            self._use(ModelConnection.open(self._address, self._bundles, timeout_s))

    def __enter__(self) -> Self:
        if self._connection is None:
            self._use(self._connected())
        self._thread.start()
        return self

    def __exit__(self, *raised: object) -> None:
        self._stopping.set()
        # Without a connection the thread waits for a process that need not come; it ends with this one.
        if (connection := self._connection) is not None:
            connection.hang_up()
            self._thread.join()

    @property
    def connection(self) -> ModelConnection | None:
        """The connection to the model process that runs now."""
        return self._connection

    def are_ready(self) -> bool:
        """Whether the model process serves."""
        return self.refusal is None

    def have_failed(self) -> bool:
        """Never: what fails is the model process, which is started again by itself."""
        return False

    def _receive_forever(self) -> None:
        while (connection := self._connection) is not None:
            connection.receive()
            is_stopping = self._stopping.is_set()
            self.refusal = _shutting_down() if is_stopping else _ended()
            self._connection = None
            connection.close(self.refusal)
            if is_stopping:
                return
            logger.warning("the model process has ended; waiting for the next one")
            self._use(self._connected())

    def _use(self, connection: ModelConnection | None) -> None:
        self._connection = connection
        if connection is not None:
            self.choices = {model.name: model.choices for model in connection.block.models}
            self.refusal = None

    def _connected(self) -> ModelConnection | None:
        """A connection to a model process that serves; None where this process stops first."""
        while not self._stopping.is_set():
            with contextlib.suppress(OSError):
                return ModelConnection.open(self._address, self._bundles)
            time.sleep(_RETRY_S)
        return None


class RemoteQueue(ModelQueue[Any]):
    """The way to one model of the other process."""

    def __init__(self, name: str, models: RemoteModels, *, queue_limit: int, board: Board | None) -> None:
        tallies = None if board is None else {lane: board.tally(lane_bound(name, lane)) for lane in Priority}
        super().__init__(name, queue_limit=queue_limit, tallies=tallies)
        self._name = name
        self._models = models

    @property
    def choices(self) -> ModelChoices:
        """What the model process chose when it loaded the model."""
        return self._models.choices[self._name]

    @property
    def refusal(self) -> Unavailable | None:
        """Why nothing is run; None while the model process serves."""
        return self._models.refusal

    def put(self, call: ModelCall[Any], position: int, *inputs: ModelInput) -> None:
        """Write preprocessed inputs of an admitted call into slots."""
        if (connection := self._models.connection) is None:
            call.fail(_ended())
        elif not call.is_over:
            connection.submit(self._name, call, position, inputs)

    def drop(self, call: ModelCall[Any]) -> None:
        """Have the model process forget the inputs of a call that is over."""
        if (connection := self._models.connection) is not None:
            connection.withdraw(call)


def _ended() -> Unavailable:
    return Unavailable("the process of the models has ended and starts again; send again", reason=STARTING)


def _shutting_down() -> Unavailable:
    return Unavailable("the encoder is shutting down; send again", reason=SHUTTING_DOWN)
