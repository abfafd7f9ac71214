"""Times at which what was put off is looked at again."""

from hypothesis import given
from hypothesis import strategies as st
from wakes import Wakes


def test_each_time_is_told_once_and_not_before() -> None:
    wakes = Wakes()
    wakes.add(100.0, [50, 55, 50, 500])

    told = [now for now in (100.0, 100.03, 100.061, 100.062, 100.3, 100.51, 101.0) if wakes.is_due(now)]
    assert told == [100.061, 100.51]


@given(st.lists(st.integers(0, 100_000), max_size=50))
def test_everything_is_due_within_a_step_of_its_time(waits_ms: list[int]) -> None:
    wakes = Wakes()
    wakes.add(0.0, waits_ms)

    for wait_ms in sorted(set(waits_ms)):
        wakes.is_due((wait_ms + 20.001) / 1000)
    assert not wakes.is_due(1_000.0)
