"""Guessing is locked out: for the guesser, in all processes, and for nobody else."""

from __future__ import annotations

import asyncio
from typing import cast

import pytest
import structlog

from omapush import clock
from omapush.errors import StoreUnavailable
from omapush.pap_http.lockout import Locked, LockedOut, Lockout, Try
from omapush.push.guessing import Counter
from omapush.store import guesses, lock_outs
from omapush.store.client import Store

HOME, STRANGE = "192.0.2.7", "198.51.100.66"
FREE = 10


class Redis:
    """What the nodes share; away when told so."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.counts: dict[Counter, int] = {}
        self.usual: set[tuple[str, str]] = set()
        self.shown: dict[Counter, int] = {}
        self.lifts: dict[Counter, int] = {}
        self.is_away = False
        self.asked = 0
        for name in ("failed", "forget", "is_usual", "remember"):
            monkeypatch.setattr(guesses, name, getattr(self, name))
        monkeypatch.setattr(lock_outs, "note", self.note)
        monkeypatch.setattr(lock_outs, "lifted", self.lifted)

    def _ask(self) -> None:
        self.asked += 1
        if self.is_away:
            raise StoreUnavailable("away")

    def failed(self, _store: Store, counters: list[Counter]) -> list[int]:
        self._ask()
        for one in counters:
            self.counts[one] = self.counts.get(one, 0) + 1
        return [self.counts[one] for one in counters]

    def forget(self, _store: Store, counters: list[Counter]) -> None:
        self._ask()
        for one in counters:
            self.counts.pop(one, None)

    def is_usual(self, _store: Store, name: str, source: str, _now_ms: int) -> bool:
        self._ask()
        return (name, source) in self.usual

    def note(self, _store: Store, locked: list[tuple[Counter, int]]) -> None:
        self._ask()
        self.shown.update(locked)

    def lifted(self, _store: Store) -> dict[Counter, int]:
        self._ask()
        return self.lifts

    def lift(self, counter: Counter) -> None:
        """What `omapush unlock` does."""
        self.counts.pop(counter, None)
        self.lifts[counter] = clock.now_ms()

    def remember(self, _store: Store, name: str, source: str, _now_ms: int) -> None:
        self._ask()
        self.usual.add((name, source))


class Node:
    """One api process."""

    def __init__(self) -> None:
        self.now = 1_000.0
        self.told: list[Locked] = []
        self.lockout = Lockout(cast(Store, None), self._tell, lambda: self.now)

    async def _tell(self, locked: Locked) -> None:
        self.told.append(locked)

    def fails(self, *tries: Try) -> list[str]:
        """Let these fail at one time; returns the events logged."""

        async def run() -> None:
            await asyncio.gather(*(self.lockout.failed(one) for one in tries))

        with structlog.testing.capture_logs() as lines:
            asyncio.run(run())
        return [line["event"] for line in lines]

    def wait_s(self, one: Try) -> int:
        """For how long a try is refused; 0: it is not."""
        try:
            asyncio.run(self.lockout.check(one))
        except LockedOut as error:
            return error.retry_after_s
        return 0

    def comes_in(self, one: Try) -> None:
        async def run() -> None:
            self.lockout.succeeded(one)
            await asyncio.gather(*asyncio.all_tasks() - {cast("asyncio.Task[None]", asyncio.current_task())})

        asyncio.run(run())


@pytest.fixture
def redis(monkeypatch: pytest.MonkeyPatch) -> Redis:
    return Redis(monkeypatch)


@pytest.fixture
def node(redis: Redis) -> Node:
    return Node()


def by(name: str, address: str, *, known: bool = True) -> Try:
    return Try(name, address, known)


GUESS = by("mmsc", STRANGE)


def test_after_some_wrong_passwords_nothing_more_is_tried_for_a_while(node: Node) -> None:
    for _ in range(FREE - 1):
        node.fails(GUESS)
    assert node.wait_s(GUESS) == 0

    assert node.fails(GUESS) == ["authentication_failed", "authentication_locked"]
    assert LockedOut.http_status == 429
    assert 29 <= node.wait_s(GUESS) <= 31
    assert node.wait_s(by("other", STRANGE)) > 0
    node.now += 31
    assert node.wait_s(GUESS) == 0
    node.fails(GUESS)
    assert 59 <= node.wait_s(GUESS) <= 61


def test_many_at_one_time_get_no_further_than_one_after_the_other(node: Node) -> None:
    node.fails(*[GUESS] * 200)
    assert node.wait_s(GUESS) > 800


def test_a_stranger_does_not_lock_out_an_initiator_from_its_usual_address(node: Node) -> None:
    usual = by("mmsc", HOME)
    node.comes_in(usual)
    for number in range(200):
        node.fails(by("mmsc", f"198.51.100.{number}"))

    assert node.wait_s(usual) == 0
    assert node.wait_s(by("mmsc", "203.0.113.5")) > 0
    assert node.wait_s(by("other", "203.0.113.5")) == 0


def test_a_guesser_behind_the_same_address_locks_out_himself_only(node: Node) -> None:
    usual = by("mmsc", HOME)
    node.comes_in(usual)
    for _ in range(FREE):
        node.fails(by("admin", HOME, known=False))

    assert node.wait_s(by("admin", HOME, known=False)) > 0
    assert node.wait_s(usual) == 0


def test_an_address_of_the_configuration_is_usual_from_the_start(node: Node, redis: Redis) -> None:
    for number in range(100):
        node.fails(by("mmsc", f"198.51.100.{number}"))
    asked = redis.asked

    assert node.wait_s(Try("mmsc", HOME, is_known=True, is_home=True)) == 0
    assert redis.asked == asked


def test_nodes_count_together_and_know_each_others_usual_addresses(node: Node, redis: Redis) -> None:
    second = Node()
    usual = by("mmsc", HOME)
    node.comes_in(usual)
    for _ in range(FREE):
        second.fails(by("x", HOME, known=False))
    assert second.wait_s(usual) == 0
    for _ in range(FREE):
        node.fails(GUESS)

    second.fails(GUESS)
    assert second.wait_s(GUESS) > 30


def test_failures_at_a_usual_address_lock_that_account_there_until_it_comes_in(
    node: Node, redis: Redis
) -> None:
    usual = by("mmsc", HOME)
    node.comes_in(usual)
    node.fails(*[usual] * (FREE - 1))
    node.comes_in(usual)
    node.fails(*[usual] * (FREE - 1))
    assert node.wait_s(usual) == 0
    node.fails(usual)
    assert node.wait_s(usual) > 0
    assert node.wait_s(by("other", HOME)) == 0


def test_who_comes_in_asks_redis_once_an_hour(node: Node, redis: Redis) -> None:
    usual = by("mmsc", HOME)
    for _ in range(5):
        node.comes_in(usual)
        assert node.wait_s(usual) == 0
    assert redis.asked == 1
    node.now += 3_600
    node.comes_in(usual)
    assert redis.asked == 2


def test_without_redis_each_process_counts_for_itself(node: Node, redis: Redis) -> None:
    redis.is_away = True
    usual = by("mmsc", HOME)
    node.comes_in(usual)
    for _ in range(FREE):
        node.fails(GUESS)
    assert node.wait_s(GUESS) > 0
    assert node.wait_s(usual) == 0


def test_a_lock_is_told_when_it_begins_and_not_again_while_it_lasts(node: Node) -> None:
    node.fails(*[GUESS] * 30)
    assert [locked.counter for locked in node.told] == [Counter("address", STRANGE)]


def test_what_is_remembered_is_bounded_and_redis_still_knows(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("omapush.pap_http.lockout._MOST_COUNTERS", 4)
    for _ in range(FREE):
        node.fails(by("x", STRANGE, known=False))
    for number in range(8):
        node.fails(by("x", f"203.0.113.{number}", known=False))
    assert node.wait_s(by("x", STRANGE, known=False)) == 0
    node.fails(by("x", STRANGE, known=False))
    assert node.wait_s(by("x", STRANGE, known=False)) > 30


def test_a_name_is_cut_before_it_is_logged(node: Node) -> None:
    with structlog.testing.capture_logs() as lines:
        asyncio.run(node.lockout.failed(by("n" * 500, STRANGE, known=False)))
    assert len(lines[0]["initiator"]) == 80


def test_what_is_locked_is_shown_to_operators(redis: Redis, node: Node) -> None:
    for _ in range(FREE - 1):
        node.fails(GUESS)
    assert redis.shown == {}

    node.fails(GUESS)

    [(counter, until_ms)] = redis.shown.items()
    assert counter == Counter("address", STRANGE)
    assert 29_000 <= until_ms - clock.now_ms() <= 31_000


def test_what_an_operator_lifts_is_tried_again_in_all_processes(redis: Redis, node: Node) -> None:
    other = Node()
    node.fails(*[GUESS] * FREE)
    other.fails(GUESS)
    assert node.wait_s(GUESS) > 0
    assert other.wait_s(GUESS) > 0

    redis.lift(Counter("address", STRANGE))
    node.now += 1
    other.now += 1

    with structlog.testing.capture_logs() as lines:
        assert (node.wait_s(GUESS), other.wait_s(GUESS)) == (0, 0)
    assert [line["event"] for line in lines] == ["authentication_unlocked"] * 2


def test_a_lift_is_for_what_was_locked_before_it(redis: Redis, node: Node) -> None:
    redis.lifts[Counter("address", STRANGE)] = clock.now_ms() - 1
    node.fails(*[GUESS] * FREE)
    assert node.wait_s(GUESS) > 0
    node.now += 1
    assert node.wait_s(GUESS) > 0


def test_lifts_are_asked_for_once_a_second_and_only_while_something_is_locked(
    redis: Redis, node: Node
) -> None:
    stranger = by("nobody", STRANGE, known=False)
    assert node.wait_s(stranger) == 0
    assert redis.asked == 0
    node.fails(*[stranger] * FREE)
    asked = redis.asked

    assert min(node.wait_s(stranger) for _ in range(100)) > 0
    assert redis.asked == asked + 1


def test_while_redis_is_away_a_lock_stands_until_its_time(redis: Redis, node: Node) -> None:
    node.fails(*[GUESS] * FREE)
    redis.is_away = True
    node.now += 1

    assert node.wait_s(GUESS) > 0
    node.now += 31
    assert node.wait_s(GUESS) == 0
