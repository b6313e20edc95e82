"""The precision of a bundle that computes fastest on this machine, found by trying each that its gate let pass."""

import dataclasses
import logging
from collections.abc import Sequence
from typing import TypeVar

from encoders.bundle import Bundle
from encoders.serving.int8_overflow import int8_may_overflow
from encoders.serving.providers import CPU, SessionOptions, chosen_provider
from encoders.serving.session import Session

FASTEST = "fastest"

AnySession = TypeVar("AnySession", bound=Session)  # type: ignore[type-arg]

logger = logging.getLogger(__name__)


def open_session(kind: type[AnySession], bundle: Bundle, options: SessionOptions) -> AnySession:
    """A session that is warm, at the precision of the options or, where they say `fastest`, at the one that is.

    Which one that is differs from machine to machine: int8 is 2 to 3 times as fast for ResNets and half as fast for MobileNetV3.
    Where int8 may overflow it is not tried, and warned of if it was asked for.
    """
    if options.precision != FASTEST:
        session = kind(bundle, options)
        if session.graph.precision == "int8" and session.graph.is_on_cpu and int8_may_overflow(bundle):
            logger.warning("int8 is inexact on a processor without VNNI: use fp32", extra={"model": bundle.name})
        session.warm_up()
        return session
    sessions = [
        kind(bundle, dataclasses.replace(options, precision=precision)) for precision in _tried(bundle, options)
    ]
    for session in sessions:
        session.warm_up()
    rates = _rates_in_turn(sessions)
    tried = {session.graph.precision: round(rate) for session, rate in zip(sessions, rates, strict=True)}
    logger.info("precisions tried", extra={"model": bundle.name, "inputs_a_second": tried})
    return sessions[rates.index(max(rates))]


def _tried(bundle: Bundle, options: SessionOptions) -> list[str]:
    exact = [precision for precision in bundle.precisions if precision != "int8"]
    leaves_int8_out = exact and chosen_provider(options) == CPU and int8_may_overflow(bundle)
    return exact if leaves_int8_out else list(bundle.precisions)


def _rates_in_turn(sessions: Sequence[AnySession]) -> list[float]:
    """Inputs a second of each session, the best of three turns, so that other work hits none of them alone."""
    turns = [[session.rate() for session in sessions] for _ in range(3)]
    return [max(rates) for rates in zip(*turns, strict=True)]
