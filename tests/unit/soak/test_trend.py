"""A leak is seen, noise is not."""

from __future__ import annotations

import math
import random
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from soak.series import TOLERANCES, Kind, Samples, Series
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
