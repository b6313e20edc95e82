"""The lane of a call on the wire."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rpc.errors import InvalidArgument
from rpc.priority import PRIORITY_KEY, Priority


@pytest.mark.parametrize("priority", Priority)
def test_a_priority_travels_in_metadata(priority: Priority) -> None:
    """What a client sends is what the server reads, among other metadata."""
    assert Priority.of((("x-request-id", "1"), *priority.metadata, ("user-agent", "x"))) is priority


@pytest.mark.parametrize("metadata", [None, (), (("x-request-id", "bulk"),)])
def test_without_a_priority_a_call_is_interactive(metadata: tuple[tuple[str, str], ...] | None) -> None:
    """Clients that know nothing of lanes are served first."""
    assert Priority.of(metadata) is Priority.INTERACTIVE


@given(
    st.one_of(st.text(max_size=300), st.binary(max_size=300)).filter(lambda value: value not in {"interactive", "bulk"})
)
def test_any_other_value_is_refused_by_the_keys_name(value: str | bytes) -> None:
    """A misspelt priority is not guessed at, and is not repeated in the status."""
    with pytest.raises(InvalidArgument, match=f"^{PRIORITY_KEY}: must be interactive or bulk$"):
        Priority.of(((PRIORITY_KEY, value),))
