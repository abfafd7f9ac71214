"""Which push a content is of, and how many devices a run has."""

from __future__ import annotations

import pytest

from soak.mix import KINDS, content, named, receivers_for
from soak.repeats import Repeats


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_a_content_says_which_push_it_is_of(kind: object) -> None:
    for one in (one for one in KINDS if one is kind):
        assert named(content(one, 1_234_567)[:100]) == (one.name, 1_234_567)


def test_a_short_run_has_few_devices_so_that_each_gets_many_pushes() -> None:
    assert [receivers_for(minutes * 60) for minutes in (1, 10, 60, 480)] == [50, 100, 600, 1_000]


def test_a_push_that_is_taken_twice_is_seen_and_no_other() -> None:
    repeats = Repeats()
    assert [repeats.take(number, 10.0) for number in range(3)] == [None] * 3
    assert repeats.take(1, 43.5) == 33.5
    assert repeats.take(1 + (1 << 18), 50.0) is None, "the same place, another push"
