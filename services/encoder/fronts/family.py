"""The processes of one encoder: kept running, asked for their metrics, and stopped in order."""

import logging
import os
import signal
import socket
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Self

from prometheus_client import REGISTRY, CollectorRegistry, Counter, generate_latest, start_http_server

from services.encoder.fronts.board import Board, bounds_count
from services.encoder.fronts.child import Child, Report
from services.encoder.fronts.totals import ProcessTotals
from services.encoder.settings import EncoderSettings

RESTARTS = Counter(
    "fovea_process_restarts_total", "Processes of an encoder that ended and were started again.", ["process"]
)

_FRONT, _MODELS = "front", "models"
_POLL_S = 0.1
_ASK_PERIOD_S = 5.0
# Until all have said that they serve.
_START_PERIOD_S = 0.2
_ASK_TIMEOUT_S = 2.0
# A process that has served and leaves so many questions unanswered hangs.
_MISSED_ANSWERS = 6
# What a process takes to end beside the time that its calls have.
_STOP_S = 2.0

logger = logging.getLogger(__name__)


class Family:
    """Starts the model process and the fronts, restarts what ends or hangs, and drains all at the end of its block.

    `models` is the socket on which the module `model_process` serves the fronts.
    """

    def __init__(
        self, settings: EncoderSettings, fronts: int, address: str, models: socket.socket, *, model_process: str
    ) -> None:
        shared = {"FOVEA_ENCODER_ADDRESS": address}
        # Each front decodes in a part of the memory, so that all of them keep within it.
        front = {"FOVEA_ENCODER_DECODE_MIB": str(max(64, settings.decode_mib // fronts))}
        self._bounds = bounds_count(len(settings.bundles))
        self._board = Board.create(fronts, self._bounds)
        name = bytes(models.getsockname()).hex()
        self._models = Child(_MODELS, model_process, [str(models.fileno())], shared, models.fileno())
        self._fronts = [
            Child(_FRONT, f"{__package__}.front", [name, f"{self._board}", f"{row}"], shared | front, self._board)
            for row in range(fronts)
        ]
        self._settings = settings
        self._address = address
        self._totals = ProcessTotals(self._ask_all)
        self._has_failed = False
        self._stopping = threading.Event()
        self._keeper = threading.Thread(target=self._keep_running, name="processes", daemon=True)
        self._asker = threading.Thread(target=self._ask_forever, name="questions", daemon=True)
        self._pool = ThreadPoolExecutor(len(self._children), thread_name_prefix="ask")

    def __enter__(self) -> Self:
        for child in self._children:
            child.start()
        self._keeper.start()
        self._asker.start()
        if self._settings.metrics_port:
            registry = CollectorRegistry()
            registry.register(self._totals)
            host = self._address.rpartition(":")[0].strip("[]")
            start_http_server(self._settings.metrics_port, addr=host, registry=registry)
        return self

    def __exit__(self, *raised: object) -> None:
        self._stopping.set()
        self._keeper.join()
        self._asker.join()
        # Fronts first: the calls that they still have need the models.
        _stop(self._fronts, self._settings.drain_s + _STOP_S)
        _stop([self._models], _STOP_S)
        for child in self._children:
            child.close()
        os.close(self._board)

    @property
    def _children(self) -> Sequence[Child]:
        return [self._models, *self._fronts]

    def has_failed(self) -> bool:
        """Whether a process ended by itself before it ever served, so that starting it again would change nothing."""
        return self._has_failed

    def _keep_running(self) -> None:
        while not self._stopping.wait(_POLL_S) and not self._has_failed:
            for child in self._children:
                if how := child.has_ended():
                    self._restart(child, how)

    def _restart(self, child: Child, how: str) -> None:
        if child.cannot_start:
            logger.critical("a process of the encoder cannot start", extra={"which": child.name, "how": how})
            self._has_failed = True
        elif child.is_due():
            logger.error("a process of the encoder ended and starts again", extra={"which": child.name, "how": how})
            RESTARTS.labels(child.name).inc()
            self._totals.end(child.pid)
            if child in self._fronts:
                Board.clear(self._board, self._fronts.index(child), self._bounds)
            try:
                child.start()
            except OSError as error:  # the machine lacks memory, processes or files, perhaps for a while
                logger.warning("%s cannot be started; trying again: %s", child.name, error)

    def _ask_forever(self) -> None:
        missed = dict.fromkeys(self._children, 0)
        while not self._stopping.wait(self._ask_period_s()):
            for child, report in zip(self._children, self._ask_all(), strict=True):
                missed[child] = missed[child] + 1 if report is None and child.has_served else 0
                if missed[child] == _MISSED_ANSWERS:
                    logger.error("a process of the encoder hangs and is ended", extra={"which": child.name})
                    child.signal(signal.SIGKILL)

    def _ask_period_s(self) -> float:
        return _ASK_PERIOD_S if all(child.has_served for child in self._children) else _START_PERIOD_S

    def _ask_all(self) -> list[Report | None]:
        """Update the metrics of all processes; what each child says, None where it does not answer."""
        self._totals.update(os.getpid(), generate_latest(REGISTRY).decode())
        reports = list(self._pool.map(lambda child: child.ask(_ASK_TIMEOUT_S), self._children))
        for report in reports:
            if report is not None:
                self._totals.update(report.pid, report.metrics)
        return reports


def _stop(children: Sequence[Child], timeout_s: float) -> None:
    """Let processes finish, and kill those that have not done so in time."""
    give_up_s = time.monotonic() + timeout_s
    for child in children:
        child.signal(signal.SIGTERM)
    for child in children:
        child.wait(give_up_s - time.monotonic())
