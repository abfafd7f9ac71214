"""One look at shards says what there is to do in each: no more, no less, and nothing is changed by it."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from omapush import clock
from omapush.push.subscription import Subscription
from omapush.push.values import ticket
from omapush.store import client, fanouts, keys, looks, outbox, pushes, sessions, subscriptions, watches
from omapush.store.client import Store
from omapush.store.looks import NOTHING, Look
from omapush.store.outbox import Owner
from omapush.store.subscriptions import Placed
from tests.harness import records
from tests.store.conftest import NOW_MS, Make

ALICE = "sip:alice@home1.example"
ALL = range(4)
ONE = Owner("node", "run", 0)
LONG_AGO_MS, LONG_TO_GO_MS = 1_000_000_000_000, 4_000_000_000_000


def look(store: Store, now_ms: int = NOW_MS) -> Look:
    return looks.look(store, ALL, now_ms)


def there(store: Store) -> tuple[int, ...]:
    return (store.layout.user_shard(ALICE),)


def subscribed(store: Store, owed_ms: int | None, expires_ms: int = LONG_TO_GO_MS) -> Subscription:
    sub = records.subscription(ALICE, "1" * 16, clock.now_ms())._replace(expires_ms=expires_ms)

    def put(_old: Subscription | None) -> Placed[None]:
        return Placed(sub, owed_ms, None)

    subscriptions.change(store, sub.id, put)
    return sub


def hand_over(store: Store, *, after_ms: int = 0) -> None:
    outbox.hand_over(store, [Make().delivery(ALICE, number=1, deliver_after_ms=after_ms)])


def take_and_put_off(store: Store, wait_ms: int) -> None:
    hand_over(store)
    outbox.claim(store, ALL, ONE, lease_ms=60_000, transaction_ms=1)
    outbox.take(store, ALL, ONE, transaction_ms=60_000, most=1)
    outbox.put_off(store, [(ticket(Make().delivery(ALICE, number=1)), wait_ms)])


def notify(store: Store, transaction_ms: int) -> None:
    sub = subscribed(store, None)
    subscriptions.begin_notifies(store, [sub.id], transaction_ms=transaction_ms)


def carry(store: Store, due_ms: int) -> None:
    stream = records.stream(ticket(Make().delivery(ALICE, number=1)))
    session = records.session(ALICE, "1" * 16, NOW_MS, stream)._replace(due_ms=due_ms)
    assert sessions.begin(store, session)


def owe(store: Store, owed_ms: int) -> None:
    subscribed(store, owed_ms)


def run_out(store: Store, expires_ms: int) -> None:
    subscribed(store, None, expires_ms)


def watch(store: Store, due_ms: int) -> None:
    watches.want(store, [ALICE], due_ms)


DUE: dict[str, tuple[Callable[[Store], None], str]] = {
    "a push": (hand_over, "ready"),
    "a push whose wait is over": (partial(take_and_put_off, wait_ms=0), "later"),
    "a NOTIFY that is owed": (partial(owe, owed_ms=0), "subscriptions"),
    "a NOTIFY that is lost": (partial(notify, transaction_ms=-1), "subscriptions"),
    "a subscription that has run out": (partial(run_out, expires_ms=LONG_AGO_MS), "subscriptions"),
    "a watch": (partial(watch, due_ms=NOW_MS), "watches"),
    "a session": (partial(carry, due_ms=NOW_MS), "sessions"),
}
NOT_DUE: dict[str, Callable[[Store], None]] = {
    "a push for later": partial(hand_over, after_ms=LONG_TO_GO_MS),
    "a push that was put off": partial(take_and_put_off, wait_ms=60_000),
    "a NOTIFY that is owed in a minute": partial(owe, owed_ms=60_000),
    "a NOTIFY under way": partial(notify, transaction_ms=60_000),
    "a subscription": partial(run_out, expires_ms=LONG_TO_GO_MS),
    "a watch for later": partial(watch, due_ms=NOW_MS + 1),
    "a session that waits": partial(carry, due_ms=NOW_MS + 1),
}


def test_where_there_is_nothing_nothing_is_seen(store: Store) -> None:
    assert look(store) == NOTHING
    assert looks.ready(store, ALL) == NOTHING
    assert not any(NOTHING)


@pytest.mark.parametrize("what", DUE)
def test_what_is_due_is_seen_in_its_shard_and_nothing_else(store: Store, what: str) -> None:
    put, kind = DUE[what]
    put(store)

    assert look(store) == NOTHING._replace(**{kind: there(store)})
    assert looks.ready(store, ALL) == (look(store) if kind == "ready" else NOTHING)


@pytest.mark.parametrize("what", NOT_DUE)
def test_what_is_not_due_yet_is_not_seen(store: Store, what: str) -> None:
    NOT_DUE[what](store)
    assert store.db.keys("*")

    assert look(store) == NOTHING
    assert looks.ready(store, ALL) == NOTHING


def test_a_fan_out_is_seen_in_every_shard_until_the_shard_is_done_with_it(store: Store, make: Make) -> None:
    one = make.submission(notify_url="")
    push = one.push._replace(subscribers=("*",), deliver_before_ms=LONG_TO_GO_MS)
    pushes.accept_all(store, [pushes.Submission(push, (), (), b"abc", one.event)])
    fanouts.register(store, [(pushes.fan_out_of(push, b"abc"), "running")])
    assert look(store) == NOTHING._replace(fan_outs=tuple(ALL))

    for job in fanouts.jobs(store, [1, 2]):
        fanouts.close(store, job, retention_s=60)
    assert look(store) == NOTHING._replace(fan_outs=(0, 3))


def test_only_the_shards_that_were_asked_for_are_seen(store: Store) -> None:
    outbox.hand_over(store, [Make().delivery(f"sip:{n}@home1.example", number=n) for n in range(64)])

    assert looks.look(store, [3, 1], NOW_MS).ready == looks.ready(store, [3, 1]).ready == (3, 1)
    assert looks.look(store, [], NOW_MS) == looks.ready(store, []) == NOTHING


TIMED = ("later", "watch", "session", "owed", "flight", "expiry")
KIND = {"watch": "watches", "session": "sessions", "later": "later"}


def name_of(number: int, timed: str) -> str:
    match timed:
        case "later":
            return keys.outbox(number, timed)
        case "watch":
            return keys.watches_due(number)
        case "session":
            return keys.session_part(number, "due")
        case _:
            return keys.subscription_part(number, timed)


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.sets(st.tuples(st.sampled_from(ALL), st.sampled_from((*TIMED, "ready", "fanning")), st.booleans())))
def test_whatever_else_there_is_each_kind_is_seen_where_it_is_due(
    store: Store, places: set[tuple[int, str, bool]]
) -> None:
    store.db.flushdb()
    expected: dict[str, set[int]] = {field: set() for field in Look._fields}
    for number, what, is_due in places:
        if what == "ready":
            store.db.zadd(keys.outbox(number, "ready"), {"ticket": 1})
            expected["ready"].add(number)
        elif what == "fanning":
            store.db.hset(keys.fan_outs(number, "fanning"), "ref", "running|0|")
            expected["fan_outs"].add(number)
        else:
            at_ms = LONG_AGO_MS if is_due else LONG_TO_GO_MS
            store.db.zadd(name_of(number, what), {f"{is_due}": at_ms})
            if is_due:
                expected[KIND.get(what, "subscriptions")].add(number)
    before = {name: store.db.dump(name) for name in store.db.keys("*")}

    assert look(store)._asdict() == {field: tuple(sorted(found)) for field, found in expected.items()}
    assert {name: store.db.dump(name) for name in store.db.keys("*")} == before


def test_a_replica_or_a_redis_without_memory_may_be_asked(store: Store) -> None:
    """It is known as a function that writes nothing, so it is not refused where writing is."""
    libraries = store.db.function_list(library="omapush_look*")

    assert any(b"no-writes" in part for part in flattened(libraries))
    name, places = f"omapush_look_{client.release()}", [f"{n}:{{u0}}" for n in range(8)]
    assert store.db.fcall_ro(name, len(places), *places, NOW_MS) == 0


def flattened(answer: object) -> list[bytes]:
    if isinstance(answer, list):
        return [part for one in answer for part in flattened(one)]
    return [answer] if isinstance(answer, bytes) else []
