"""When a sender looks at everything, and when only for pushes that are ready."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import pytest
from looking import Looks

from omapush import clock
from omapush.store import looks
from omapush.store.client import Store
from omapush.store.looks import NOTHING, Look

SHARDS = [0, 1, 2]
MUCH = Look(ready=(0,), later=(1,), watches=(2,), fan_outs=(0, 1))


class Redis:
    """What there is in the shards, what was asked for, and the time."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 100.0
        self.there = NOTHING
        self.asked: list[str] = []
        monkeypatch.setattr(clock, "monotonic", lambda: self.now)
        monkeypatch.setattr(looks, "look", self._look)
        monkeypatch.setattr(looks, "ready", self._ready)

    def _look(self, _store: Store, numbers: Sequence[int], _now_ms: int) -> Look:
        assert list(numbers) == SHARDS
        self.asked.append("all")
        return self.there

    def _ready(self, _store: Store, numbers: Sequence[int]) -> Look:
        assert list(numbers) == SHARDS
        self.asked.append("ready")
        return Look(ready=self.there.ready)


@pytest.fixture
def redis(monkeypatch: pytest.MonkeyPatch) -> Redis:
    return Redis(monkeypatch)


@pytest.fixture
def mine() -> Looks:
    return Looks(cast(Store, None))


def test_everything_is_looked_at_every_20_ms_and_what_is_ready_each_time(redis: Redis, mine: Looks) -> None:
    for _ in range(9):
        assert mine.take(SHARDS, has_room=True) == NOTHING
        redis.now += 0.0051

    assert redis.asked == ["all", "ready", "ready", "ready"] * 2 + ["all"]


def test_a_sender_whose_window_is_full_looks_at_everything_else_all_the_same(
    redis: Redis, mine: Looks
) -> None:
    redis.there = MUCH
    found = []
    for _ in range(4):
        found.append(mine.take(SHARDS, has_room=False))
        redis.now += 0.011

    between = Look(fan_outs=MUCH.fan_outs)
    assert found == [MUCH, between, MUCH, between]
    assert redis.asked == ["all", "all"]


def test_fan_outs_are_told_each_time_until_they_are_over(redis: Redis, mine: Looks) -> None:
    redis.there = MUCH
    assert mine.take(SHARDS, has_room=True) == MUCH
    assert mine.take(SHARDS, has_room=True) == Look(ready=(0,), fan_outs=(0, 1))

    redis.there, redis.now = NOTHING, redis.now + 0.021
    assert [mine.take(SHARDS, has_room=True) for _ in range(2)] == [NOTHING] * 2


def test_without_shards_nothing_is_asked_nor_remembered(redis: Redis, mine: Looks) -> None:
    redis.there = MUCH
    mine.take(SHARDS, has_room=True)

    assert mine.take([], has_room=True) == NOTHING
    assert mine.take(SHARDS, has_room=False) == NOTHING
    assert redis.asked == ["all"]
