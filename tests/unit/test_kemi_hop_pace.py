"""Turns at a next hop: never faster than rate and burst allow, in order, and nobody waits for ever."""

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


@given(INTERVALS, BURSTS, st.lists(st.floats(0, 2_000), min_size=1, max_size=80))
def test_no_span_of_time_sees_more_than_burst_and_rate(
    interval_ms: float, burst: int, gaps: list[float]
) -> None:
    """Everybody who is told to wait comes back exactly then, which is the earliest that may be."""
    pace, now_ms = HopPace(), 0.0
    left: list[float] = []
    for n, gap in enumerate(gaps):
        now_ms += gap
        wait_ms = ask(pace, str(n), now_ms, interval_ms, burst)
        at_ms = now_ms
        while wait_ms:
            at_ms += wait_ms
            wait_ms = ask(pace, str(n), at_ms, interval_ms, burst)
        left.append(at_ms)
    left.sort()
    for first in range(len(left)):
        for last in range(first, len(left)):
            span_ms = left[last] - left[first]
            assert last - first + 1 <= burst + (span_ms + 1) / interval_ms + 1
