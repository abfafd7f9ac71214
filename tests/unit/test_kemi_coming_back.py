"""Pushes whose hop is full come back one after the other, however many they are."""

import importlib
import math
import sys
from collections.abc import Iterator
from typing import Any

import pytest

NOW_MS = 1_000_000.0
MANY = 10_000


@pytest.fixture
def turns() -> Iterator[Any]:
    yield importlib.import_module("coming_back").ComingBack()
    sys.modules.pop("coming_back", None)


def waits(turns: Any, hop: str, number: int, ended_per_s: float, *, is_moving: bool) -> list[int]:
    return [turns.wait_ms(hop, NOW_MS, ended_per_s, is_moving=is_moving) for _ in range(number)]


def test_many_that_wait_for_a_silent_hop_come_back_a_thousand_a_second_after_five(turns: Any) -> None:
    found = waits(turns, "dead", MANY, 0.0, is_moving=False)

    assert found[0] == 5_000
    assert found[-1] == 5_000 + MANY - 1
    assert found == sorted(found)


def test_many_silent_hops_cost_no_more_than_one(turns: Any) -> None:
    found = [waits(turns, f"dead{i}", 1, 0.0, is_moving=False)[0] for i in range(50)]

    assert found == [5_000 + i for i in range(50)]


def test_a_hop_that_takes_something_has_turns_of_its_own_and_at_once(turns: Any) -> None:
    waits(turns, "dead", MANY, 0.0, is_moving=False)

    assert waits(turns, "slow", 2, 100.0, is_moving=True) == [100, 101]


def test_for_a_fast_hop_twice_as_many_come_back_as_it_takes(turns: Any) -> None:
    found = waits(turns, "fast", MANY, 5_000.0, is_moving=True)
    assert found[-1] == 100 + (MANY - 1) // 10

    assert set(waits(turns, "new", 3, math.inf, is_moving=True)) == {100}


def test_nobody_is_sent_away_for_more_than_a_minute(turns: Any) -> None:
    assert max(waits(turns, "dead", 20 * MANY, 0.0, is_moving=False)) == 60_000


def test_a_hop_that_is_forgotten_begins_anew(turns: Any) -> None:
    waits(turns, "slow", MANY, 0.0, is_moving=True)
    turns.forget("slow")

    assert waits(turns, "slow", 1, 0.0, is_moving=True) == [100]
