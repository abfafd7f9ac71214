"""The part that is let in: less while a queue stands, all again soon after."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from omapush.push.admission import INTERVAL_S, LEAST, Level, observed

TARGET_S = 0.1
STEP_S = INTERVAL_S + 1e-6


def after(waits_s: list[float], level: Level | None = None, *, each_s: float = STEP_S) -> Level:
    """The level after one wait for each interval."""
    found = level or Level()
    for wait_s in waits_s:
        found = observed(found, wait_s, found.since_s + each_s, TARGET_S)
    return found


def test_all_is_let_in_while_nobody_waits_too_long() -> None:
    assert after([0.0, TARGET_S, 0.05] * 20).admitted == 1


def test_a_burst_that_is_worked_off_within_an_interval_is_no_overload() -> None:
    level = Level()
    for n in range(100):
        level = observed(level, 5.0 if n % 4 else 0.01, n * 0.02, TARGET_S)

    assert level.admitted == 1


def test_the_longer_they_wait_the_less_is_let_in_but_never_nothing() -> None:
    assert 0.85 < after([TARGET_S * 1.05] * 2).admitted < 1
    assert after([TARGET_S * 1.2] * 5).admitted > after([TARGET_S * 2] * 5).admitted > 0.2
    assert after([10.0] * 100).admitted == LEAST


@pytest.mark.parametrize("each_s", [STEP_S, 0.25, 0.5, 1.0, 3.0, 100_000.0])
def test_all_is_let_in_again_within_ten_seconds_of_the_loads_end(each_s: float) -> None:
    """However few come then: a wait is only seen when somebody is let in."""
    overloaded = after([10.0] * 100)
    over = after([0.0] * max(int(10.0 / each_s), 1), overloaded, each_s=each_s)

    assert over.admitted == 1


def test_who_waited_too_long_is_no_sign_that_it_is_over_however_long_ago_the_last_was() -> None:
    overloaded = after([10.0] * 100)

    assert after([2 * TARGET_S] * 3, overloaded, each_s=5.0).admitted < 0.1


@given(st.lists(st.floats(0, 100), max_size=200), st.floats(0.001, 1))
def test_the_part_is_always_between_least_and_all(waits_s: list[float], each_s: float) -> None:
    level = Level()
    for wait_s in waits_s:
        level = after([wait_s], level, each_s=each_s)
        assert LEAST <= level.admitted <= 1


def test_what_stands_is_worked_off_without_a_swing_to_the_other_side() -> None:
    """Three times as many come as are done: once steered, the queue neither runs empty nor grows to twice."""
    level, waiting, now_s, rate = Level(), 0.0, 0.0, 1_000
    seen: list[float] = []
    for _ in range(100):
        now_s += STEP_S
        waiting = max(waiting + 3 * rate * STEP_S * level.admitted - rate * STEP_S, 0.0)
        level = observed(level, waiting / rate, now_s, 0.25)
        seen.append(waiting / rate)

    assert all(0.1 < wait_s < 0.5 for wait_s in seen[50:])


@given(st.floats(1.5, 10), st.integers(200, 2_000))
def test_steered_by_its_wait_a_queue_carries_most_of_what_it_can(load: float, rate: int) -> None:
    """A queue that is worked off at `rate` a second, and to which `load` times as many come."""
    level, waiting, done, step_s, steps = Level(), 0.0, 0.0, 0.01, 3_000
    now_s = 0.0
    for n in range(steps):
        now_s += step_s
        waiting += load * rate * step_s * level.admitted
        worked = min(waiting, rate * step_s)
        waiting -= worked
        level = observed(level, waiting / rate, now_s, TARGET_S)
        if n >= 1_000:
            done += worked
            assert waiting / rate < 10 * TARGET_S
    assert done >= 0.9 * rate * step_s * (steps - 1_000)
