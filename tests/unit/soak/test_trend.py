"""A leak is seen, noise is not."""

from __future__ import annotations

import math
import random
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from soak.series import ALL_JUDGED_S, TOLERANCES, Kind, Samples, Series
from soak.trend import Points, Tolerance, thinned, trend

HOUR_S = 3_600
MB = 1_048_576
STRICT = Tolerance(1.0, 0.0, 0.0)
MEMORY = TOLERANCES[Kind.MEMORY]


def every_ten_seconds(value: Callable[[float], float], hours: float = 1.0) -> Points:
    return [(at_s, value(at_s / HOUR_S)) for at_s in range(0, int(hours * HOUR_S) + 1, 10)]


def test_a_straight_line_has_its_slope() -> None:
    found = trend(every_ten_seconds(lambda hours: 100 + 7 * hours), STRICT)

    assert found.an_hour == pytest.approx(7)
    assert found.low == pytest.approx(7)
    assert found.high == pytest.approx(7)
    assert found.grows
    assert found.level == pytest.approx(100 + 7 * 0.875, abs=0.05)


@pytest.mark.parametrize("noise_mb", [0.0, 0.5, 2.0])
def test_a_leak_of_four_megabytes_an_hour_is_seen_through_noise(noise_mb: float) -> None:
    chance = random.Random(1)

    def leaking(hours: float) -> float:
        return 50 * MB + 4 * MB * hours + chance.gauss(0, noise_mb * MB)

    assert trend(every_ten_seconds(leaking), MEMORY).grows


def test_a_leak_is_seen_when_the_allocator_takes_a_megabyte_at_a_time() -> None:
    assert trend(every_ten_seconds(lambda hours: 50 * MB + math.floor(4 * hours) * MB, 3), MEMORY).grows


@pytest.mark.parametrize("seed", range(20))
def test_noise_alone_is_no_growth(seed: int) -> None:
    chance = random.Random(seed)

    assert not trend(every_ten_seconds(lambda _: 50 * MB + chance.gauss(0, 2 * MB)), MEMORY).grows


@pytest.mark.parametrize("begin", [0.0, 0.4, 0.8])
def test_a_burst_that_ends_is_no_growth_wherever_it_comes(begin: float) -> None:
    def burst(hours: float) -> float:
        return 50 * MB * (3 if begin <= hours < begin + 0.2 else 1)

    assert not trend(every_ten_seconds(burst), MEMORY).grows


def test_one_step_of_the_allocator_is_no_growth() -> None:
    assert not trend(every_ten_seconds(lambda hours: 50 * MB + (MB if hours > 0.5 else 0)), MEMORY).grows


def test_a_plateau_after_a_rise_is_judged_from_the_plateau_on() -> None:
    series = Series(Kind.MEMORY, "api")
    samples = Samples()
    for at_s, value in every_ten_seconds(lambda hours: 50 * MB + 40 * MB * min(hours, 0.5)):
        samples.add(at_s, {series: value, Series(Kind.PSS, "api"): value})

    assert samples.trends(0)[series].grows
    assert not samples.trends(HOUR_S / 2)[series].grows
    assert list(samples.trends(0)) == [series], "PSS is shown and not judged"


@pytest.mark.parametrize(
    "name", ["session", "push"], ids=["remembered for ten minutes", "remembered for two minutes"]
)
def test_records_are_judged_once_there_may_be_as_many_as_there_will_be(name: str) -> None:
    series = Series(Kind.KEYS, name)
    samples = Samples()
    for at_s, value in every_ten_seconds(lambda hours: 3_600 * min(hours, 0.18), 0.25):
        samples.add(at_s, {series: value})

    assert samples.trends(300)[series].grows == (name == "push"), "a push is to go sooner"


def test_a_leak_of_session_records_is_seen_in_twenty_minutes() -> None:
    series = Series(Kind.KEYS, "session")
    samples = Samples()
    for at_s in range(0, int(ALL_JUDGED_S) + 1, 30):
        samples.add(at_s, {series: float(at_s)})

    assert samples.trends(400)[series].grows


def test_a_queue_that_is_empty_most_of_the_time_counts_as_empty_then() -> None:
    """A kind of key that Redis has none of is not in what it tells."""
    often, seldom = Series(Kind.KEYS, "push"), Series(Kind.MEMBERS, "taken")
    samples = Samples()
    for number in range(12):
        samples.add(number * 30.0, {Series(Kind.MEMORY, "api"): 1.0, often: 5.0})
        samples.add(number * 30.0 + 10, {Series(Kind.MEMORY, "api"): 1.0})
        samples.add(number * 30.0 + 20, {often: 5.0} | ({seldom: 9.0} if number in (3, 8) else {}))

    found = [value for _, value in samples.points[seldom]]
    assert len(found) == len(samples.points[often]) == 24
    assert (found.count(0.0), found.count(9.0)) == (22, 2)
    assert samples.trends(0)[seldom].is_known


def test_a_load_that_is_not_quite_steady_is_no_growth_of_what_it_leaves() -> None:
    def two_minutes_of_pushes(hours: float) -> float:
        return 7_200 + 300 * hours * 12

    five_minutes = [(at, two_minutes_of_pushes(at / HOUR_S)) for at in range(0, 300, 30)]
    assert not trend(five_minutes, TOLERANCES[Kind.KEYS]).grows
    assert trend([(at, value * 3) for at, value in five_minutes], STRICT).grows


def test_what_falls_does_not_grow() -> None:
    found = trend(every_ten_seconds(lambda hours: 100 - 50 * hours), STRICT)

    assert not found.grows
    assert found.an_hour == pytest.approx(-50)


@pytest.mark.parametrize("number", range(8))
def test_of_few_samples_nothing_is_said(number: int) -> None:
    found = trend([(at, at * 1e9) for at in range(number)], STRICT)

    assert not found.is_known
    assert not found.grows


def test_short_runs_tolerate_what_is_tolerated_at_all() -> None:
    assert MEMORY.slope(0, 0.5) == 4 * MB
    assert MEMORY.slope(0, 24) == 1 * MB
    assert MEMORY.slope(100 * MB, 24) == 2 * MB


@settings(max_examples=25)
@given(st.integers(1, 300), st.integers(1, 100))
def test_thinning_leaves_order_and_ends_and_no_more_than_asked_for(number: int, most: int) -> None:
    points = [(float(at), float(at)) for at in range(number)]

    few = thinned(points, most)

    assert len(few) == min(number, most)
    assert few == sorted(few)
    assert 0 <= few[0][0] <= few[-1][0] <= number - 1
