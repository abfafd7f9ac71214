"""Turns at a next hop: never faster than rate and burst allow, in order, and nobody waits for ever."""

import heapq
import math

from hop_pace import MOST_TURNS, HopPace
from hypothesis import given
from hypothesis import strategies as st

INTERVALS = st.floats(0.5, 5_000)
BURSTS = st.integers(1, 50)


def ask(pace: HopPace, ticket: str, now_ms: float, interval_ms: float, burst: float) -> int:
    return pace.wait_ms(ticket, now_ms, interval_ms=interval_ms, burst=burst)


def test_after_a_quiet_time_the_burst_leaves_at_once_and_the_rest_one_after_the_other() -> None:
    pace = HopPace()

    waits = [ask(pace, str(n), 1_000, 100, 3) for n in range(6)]
    assert waits == [0, 0, 0, 100, 200, 300]
    assert ask(pace, "3", 1_100, 100, 3) == 0


def test_who_comes_later_does_not_overtake_who_waits_for_a_turn() -> None:
    pace = HopPace()
    for n in range(4):
        ask(pace, str(n), 0, 100, 1)

    assert ask(pace, "new", 100, 100, 1) == 300
    assert [ask(pace, str(n), 100 * n, 100, 1) for n in (1, 2, 3)] == [0, 0, 0]


def test_asking_again_before_the_turn_gives_the_same_turn() -> None:
    pace = HopPace()
    ask(pace, "a", 0, 100, 1)

    assert ask(pace, "b", 0, 100, 1) == 100
    assert ask(pace, "b", 60, 100, 1) == 40
    assert ask(pace, "c", 60, 100, 1) == 140


def test_turns_that_nobody_takes_are_forgotten() -> None:
    pace = HopPace()
    for n in range(100):
        ask(pace, str(n), 0, 1, 1)
    for n in range(100):
        ask(pace, f"later {n}", 1_000_000 + n / 1_000, 1, 1)

    assert len(pace._turns) <= 100
    assert not any(ticket.isdecimal() for ticket in pace._turns)


def test_beyond_what_is_kept_one_asks_again() -> None:
    pace = HopPace()
    for n in range(MOST_TURNS + 1):
        ask(pace, str(n), 0, 1, 1)

    assert ask(pace, "one more", 0, 1, 1) == 1_000


@given(
    INTERVALS,
    BURSTS,
    st.lists(st.tuples(st.floats(0, 2_000), st.floats(0, 5_000)), min_size=1, max_size=60),
    st.integers(1, 1_000),
)
def test_no_span_of_time_sees_more_than_burst_and_rate_however_late_they_come(
    interval_ms: float, burst: int, asks: list[tuple[float, float]], step_ms: int
) -> None:
    """Who is told to wait comes back then or later, at steps of a clock, and at last leaves."""
    pace, now_ms = HopPace(), 0.0
    coming: list[tuple[float, str, float]] = []
    for n, (gap_ms, late_ms) in enumerate(asks):
        now_ms += gap_ms
        heapq.heappush(coming, (now_ms, str(n), late_ms))
    left: list[float] = []
    looks = 0
    while coming:
        at_ms, ticket, late_ms = heapq.heappop(coming)
        looks += 1
        if wait_ms := ask(pace, ticket, at_ms, interval_ms, burst):
            back_ms = math.ceil((at_ms + wait_ms + late_ms) / step_ms) * step_ms
            heapq.heappush(coming, (back_ms, ticket, 0.0))
        else:
            left.append(at_ms)
    assert len(left) == len(asks)
    assert looks <= 20 * len(asks) * len(asks)
    for first in range(len(left)):
        for last in range(first, len(left)):
            assert last - first + 1 <= burst + (left[last] - left[first]) / interval_ms + 1 + 1e-6
