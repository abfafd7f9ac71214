"""No more is accepted than leaves, while what was accepted waits to be sent."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from omapush.push.admission import LEAST
from omapush.push.outflow import Outflow, Seen, looked

TARGET_S = 1.0
STEP_S = 0.5
COUNT = st.integers(0, 100_000)


def look(flow: Outflow, *, ready: int, accepted: int, ended: int) -> Outflow:
    return looked(flow, Seen(ready, accepted, ended, STEP_S), TARGET_S)


def carried(offered: int, leaves: int, *, ready: int = 0) -> tuple[list[int], list[int]]:
    """What is accepted in each half second and what waits then; so many are offered, and can leave, in it."""
    flow, came, waits = Outflow(), [], []
    for _ in range(240):
        accepted = round(offered * flow.admitted)
        ended = min(ready + accepted, leaves)
        ready += accepted - ended
        flow = look(flow, ready=ready, accepted=accepted, ended=ended)
        came.append(accepted)
        waits.append(ready)
    return came, waits


@pytest.mark.parametrize("times", [1.1, 1.5, 3.0, 10.0])
def test_what_is_accepted_comes_to_what_leaves_and_the_wait_to_a_few_seconds(times: float) -> None:
    came, waits = carried(round(1_000 * times), 1_000)

    assert 950 < sum(came[120:]) / 120 < 1_010
    assert max(waits) < 1_000 * (2 * TARGET_S / STEP_S + 2 * times)
    assert min(waits[20:]) > 0, "and there is always something to send"


def test_a_backlog_that_becomes_shorter_by_itself_is_no_reason_to_refuse() -> None:
    came, waits = carried(500, 1_000, ready=50_000)

    assert set(came) == {500}
    assert waits[-1] == 0


def test_while_nothing_ends_all_is_let_in() -> None:
    assert look(Outflow(0.3), ready=50_000, accepted=900, ended=0).admitted == 1


def test_when_the_load_is_over_all_is_let_in_again_within_ten_seconds() -> None:
    flow = Outflow(LEAST)
    for _ in range(20):
        flow = look(flow, ready=50_000, accepted=round(800 * flow.admitted), ended=1_000)

    assert flow.admitted == 1, "even with a long queue, for it becomes shorter"


def test_when_nothing_waits_any_more_all_is_let_in_again_within_three_seconds() -> None:
    flow = Outflow(LEAST)
    for _ in range(6):
        flow = look(flow, ready=0, accepted=round(800 * flow.admitted), ended=1_000)

    assert flow.admitted == 1


@given(st.floats(LEAST, 1), COUNT, COUNT, COUNT)
def test_the_part_is_always_between_least_and_all(before: float, ready: int, came: int, ended: int) -> None:
    flow = look(Outflow(before), ready=ready, accepted=came, ended=ended)

    assert LEAST <= flow.admitted <= 1
    assert flow.admitted >= before * 0.49
