"""How inputs are spread over calls."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from domain.limits import MAX_CALL_BYTES, MAX_INPUTS, MAX_RESULTS
from rpc.clients import Input, calls_of

CONTENTS = [bytes(mib << 20) for mib in (0, 1, 20, 33)]
REGION_COUNTS = [0, 1, 2, 5, 100, 255, 256, 257, 300, 512, 700]

inputs = st.builds(
    lambda content, count: Input(content, regions=tuple((0.0, 0.0, 1.0, 1 / (1 + n)) for n in range(count))),
    st.sampled_from([CONTENTS[0], *CONTENTS]),
    st.sampled_from(REGION_COUNTS),
)
many_inputs = st.one_of(st.lists(inputs, max_size=30), st.integers(0, 200).map(lambda count: [Input("word")] * count))


def is_allowed(call: list[Input]) -> bool:
    """Whether the contract takes these inputs in one call."""
    return (
        len(call) <= MAX_INPUTS
        and sum(item.result_count for item in call) <= MAX_RESULTS
        and (len(call) == 1 or sum(len(item.content) for item in call) <= MAX_CALL_BYTES)
    )


def asked_for(items: list[Input]) -> list[tuple[int, object]]:
    """What the inputs ask for, result by result."""
    return [(id(item.content), region) for item in items for region in item.regions or (None,)]


@given(many_inputs)
def test_calls_keep_the_order_and_the_contracts_limits(inputs_to_send: list[Input]) -> None:
    """Every result is asked for once, in order, and no call is over a limit but for one large image alone."""
    calls = list(calls_of(inputs_to_send))

    assert asked_for([item for call in calls for item in call]) == asked_for(inputs_to_send)
    assert all(call and is_allowed(call) for call in calls)


@given(many_inputs)
def test_there_are_as_few_calls_as_can_be(inputs_to_send: list[Input]) -> None:
    """An image travels once for every 256 of its regions, and each call begins where the one before was full."""
    calls = list(calls_of(inputs_to_send))

    assert sum(map(len, calls)) == sum(-(-item.result_count // MAX_RESULTS) for item in inputs_to_send)
    assert not any(is_allowed([*call, following[0]]) for call, following in pairwise(calls))
