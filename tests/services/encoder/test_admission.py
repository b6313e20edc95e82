"""How calls begin: their lane, their deadline and their permit among the calls of the server."""

from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import pytest

from rpc.errors import DeadlineExceeded, InvalidArgument, Overloaded
from rpc.priority import Priority
from services.encoder.admission import CallAdmission


@dataclass
class Caller:
    """A caller as gRPC shows it."""

    metadata: tuple[tuple[str, str], ...] = ()
    left_s: float | None = None
    is_there: bool = True

    def time_remaining(self) -> float | None:
        """Seconds that the caller still waits."""
        return self.left_s

    def invocation_metadata(self) -> tuple[tuple[str, str], ...]:
        """What came with the call."""
        return self.metadata

    def add_callback(self, callback: object) -> bool:
        """Whether the callback will be called."""
        return self.is_there


def context(metadata: tuple[tuple[str, str], ...] = (), *, left_s: float | None = None, is_there: bool = True) -> Any:
    """A caller instead of gRPC's own context, which has many more methods."""
    return Caller(metadata, left_s, is_there)


BULK, INTERACTIVE = (context(priority.metadata) for priority in (Priority.BULK, Priority.INTERACTIVE))


def test_bulk_leaves_call_slots_to_interactive_calls() -> None:
    """However many bulk calls there are, interactive ones get through; bulk has to come back."""
    admission = CallAdmission(max_in_flight=8, max_time_s=20)
    with ExitStack() as held:
        for _ in range(6):
            held.enter_context(admission.call(BULK, 1))
        for _ in range(20):
            with pytest.raises(Overloaded, match="too many bulk calls") as refused, admission.call(BULK, 1):
                pass
        assert (refused.value.reason, refused.value.retry_after_s) == ("IN_FLIGHT_LIMIT", 0.1)
        assert held.enter_context(admission.call(INTERACTIVE, 3)).count == 3
    with admission.call(BULK, 1) as call:
        assert call.priority is Priority.BULK


@pytest.mark.parametrize("surprise", [ValueError, KeyboardInterrupt, Overloaded])
def test_a_call_slot_comes_back_however_the_call_ends(surprise: type[BaseException]) -> None:
    """Slots are given back by leaving the scope, so none can leak."""
    admission = CallAdmission(max_in_flight=1, max_time_s=20)
    for _ in range(3):
        with pytest.raises(surprise), admission.call(BULK, 1):
            raise surprise("ended")


def test_a_call_without_time_or_with_a_wrong_priority_never_begins() -> None:
    """Both are refused before they take a slot."""
    admission = CallAdmission(max_in_flight=1, max_time_s=20)
    for caller, error in (
        (context(Priority.BULK.metadata, left_s=0), DeadlineExceeded),
        (context((("fovea-priority", "urgent"),)), InvalidArgument),
    ):
        with pytest.raises(error), admission.call(caller, 1):
            pass
    with admission.call(BULK, 1):
        pass


def test_a_caller_that_has_gone_is_not_worked_for() -> None:
    """Where the call has ended already, it is over from the start."""
    with CallAdmission(max_in_flight=1, max_time_s=20).call(context(is_there=False), 1) as call:
        assert call.is_over
