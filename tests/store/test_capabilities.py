"""Capabilities and profiles in Redis: one winner, gone after their time."""

from __future__ import annotations

import threading

import pytest

from omapush import clock
from omapush.protocol.uaprof import PushCharacteristics
from omapush.push import profile_document
from omapush.push.capabilities import Facts
from omapush.push.values import target
from omapush.store import capabilities, keys, profiles
from omapush.store.client import Store
from tests.harness.wait import wait_until

AOR = "sip:a@home1.example"
URL = "http://maker.example/p.rdf"


def facts(device: str, seconds: int = 600) -> Facts:
    now = clock.now_ms()
    return Facts(device, "uaprof", now, now + seconds * 1000, types=("text/plain",))


@pytest.mark.req("PROP-CAP-3")
def test_two_writers_at_once_lose_no_fact(store: Store, other_store: Store) -> None:
    start = threading.Barrier(2)

    def write(through: Store, name: str) -> None:
        start.wait()
        for number in range(10):
            capabilities.learn(through, {AOR: [facts(f"{name}{number}")]}, clock.now_ms())

    writers = [threading.Thread(target=write, args=item) for item in ((store, "a"), (other_store, "b"))]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()

    record = capabilities.read(store, AOR)
    assert record is not None
    assert len(record.facts) == 20


def test_a_record_that_a_rule_leaves_alone_is_not_written(store: Store) -> None:
    capabilities.learn(store, {AOR: [facts("a")]}, clock.now_ms())
    before = capabilities.read(store, AOR)
    capabilities.change(store, {AOR: lambda _: None, "sip:nobody@home1.example": lambda _: None}, 0)

    assert capabilities.read(store, AOR) == before
    assert capabilities.read(store, "sip:nobody@home1.example") is None


def test_a_record_without_facts_is_gone(store: Store) -> None:
    capabilities.learn(store, {AOR: [facts("a")]}, clock.now_ms())
    capabilities.change(store, {AOR: lambda record: record and record._replace(facts=())}, clock.now_ms())

    wait_until(lambda: capabilities.read(store, AOR) is None, 2, "no record")


def test_a_record_lives_as_long_as_its_last_fact(store: Store) -> None:
    capabilities.learn(store, {AOR: [facts("a", 60), facts("b", 600)]}, clock.now_ms())

    name = keys.capabilities(store.layout.user_shard(AOR), target(AOR))
    assert 500_000 < store.db.pttl(name) <= 600_000
    assert capabilities.read_all(store, ["sip:nobody@x.example", AOR])[0] is None


def test_a_broken_record_counts_as_none_and_is_replaced(store: Store) -> None:
    store.db.set(keys.capabilities(store.layout.user_shard(AOR), target(AOR)), b"\xc1")
    assert capabilities.read(store, AOR) is None

    capabilities.learn(store, {AOR: [facts("a")]}, clock.now_ms())

    assert capabilities.read(store, AOR) is not None


@pytest.mark.req("PROP-CAP-3")
def test_a_url_is_queued_once_and_borrowed_by_one(store: Store) -> None:
    now = clock.now_ms()
    assert profiles.want(store, [URL, URL], now) == 1
    assert profiles.want(store, [URL], now) == 0

    assert profiles.borrow(store, now, lease_ms=10_000, most=4) == [URL]
    assert profiles.borrow(store, now, lease_ms=10_000, most=4) == []
    assert profiles.borrow(store, now + 10_000, lease_ms=10_000, most=4) == [URL]


def test_a_document_at_hand_is_not_fetched_again(store: Store) -> None:
    now = clock.now_ms()
    profile = profile_document.fetched(URL, b"<rdf/>", PushCharacteristics(types=("a/b",)), now)
    profiles.want(store, [URL], now)
    profiles.settle(store, profile, now, kept_s=600)

    assert profiles.want(store, [URL], now) == 0
    assert profiles.borrow(store, now + 10**9, lease_ms=1, most=4) == []
    assert profiles.read(store, URL) == profile
    assert 0 < store.db.pttl(keys.profile(URL)) <= 600_000


def test_a_failure_is_put_off_and_at_last_left_alone(store: Store) -> None:
    now = clock.now_ms()
    profiles.want(store, [URL], now)
    profile = None
    for failures in range(1, profile_document.MOST_FAILURES + 1):
        profile = profile_document.failed(profile, URL, "HTTP 500", now)
        profiles.settle(store, profile, now, kept_s=600)
        wait_s = profile_document.wait_s(failures)
        due = store.db.zscore(keys.PROFILE_QUEUE, URL)
        assert due == (None if wait_s is None else now + wait_s * 1000)
    assert profiles.want(store, [URL], now) == 0


def test_the_queue_has_an_end(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(profiles, "MOST_QUEUED", 3)

    assert profiles.want(store, [f"{URL}{number}" for number in range(5)], clock.now_ms()) == 3
