"""Subscriptions in Redis: one winner, numbers taken once, lists by user and application."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from functools import partial

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from omapush import clock
from omapush.push.subscription import Subscription
from omapush.store import keys, subscriptions, users
from omapush.store.client import Store
from omapush.store.subscriptions import Placed
from tests.harness import records

ALICE, BOB = "sip:alice@home1.example", "sip:bob@home1.example"
LONG_MS = 40_000
ALL = range(4)


def subscription(aor: str = ALICE, number: int = 1, application: str = "mms.ua") -> Subscription:
    return records.subscription(aor, f"{number:016x}", clock.now_ms(), application=application)


def put(store: Store, *subs: Subscription, owed_ms: int | None = 0) -> None:
    subscriptions.change_all(store, {sub.id: partial(_put, sub, owed_ms) for sub in subs})


def _put(sub: Subscription, owed_ms: int | None, _old: Subscription | None) -> Placed[None]:
    return Placed(sub, owed_ms, None)


def begin(store: Store, *subs: Subscription, transaction_ms: int = LONG_MS) -> list[int]:
    found = subscriptions.begin_notifies(store, [sub.id for sub in subs], transaction_ms=transaction_ms)
    return [one.cseq if one else -1 for one in found]


def ids(subs: Iterable[Subscription]) -> set[str]:
    return {sub.id for sub in subs}


def test_a_subscription_with_all_its_places_comes_and_goes_as_one(store: Store) -> None:
    sub = subscription()
    put(store, sub)

    assert subscriptions.read(store, sub.id) == sub
    assert subscriptions.due(store, ALL, most=10) == ([sub.id], [])
    assert begin(store, sub) == [1]
    subscriptions.remove_all(store, [sub.id, "f" * 32])
    assert subscriptions.read(store, sub.id) is None
    assert store.db.keys("*") == []


def test_a_notify_takes_the_next_number_and_nobody_gets_one_before_its_answer(store: Store) -> None:
    sub = subscription()
    put(store, sub)

    assert begin(store, sub) == [1]
    assert begin(store, sub) == [0]
    subscriptions.end_notifies(store, [(sub.id, 7)])
    assert begin(store, sub) == [0]
    subscriptions.end_notifies(store, [(sub.id, 1)])
    assert begin(store, sub) == [2]


def test_what_is_gone_gets_no_number_and_leaves_nothing(store: Store) -> None:
    assert begin(store, subscription()) == [-1]
    assert store.db.keys("*") == []


@pytest.mark.req("PSA-NOT-3")
def test_of_many_processes_one_takes_each_number(store: Store, other_store: Store) -> None:
    sub = subscription()
    put(store, sub)
    start = threading.Barrier(2)
    taken: list[int] = []

    def notify(through: Store) -> None:
        start.wait()
        for _ in range(50):
            [number] = begin(through, sub)
            if number:
                taken.append(number)
                subscriptions.end_notifies(through, [(sub.id, number)])

    both = [threading.Thread(target=notify, args=(each,)) for each in (store, other_store)]
    for one in both:
        one.start()
    for one in both:
        one.join()

    assert taken == list(range(1, len(taken) + 1))


def test_a_notify_whose_process_died_is_owed_anew(store: Store) -> None:
    sub = subscription()
    put(store, sub, owed_ms=None)
    assert subscriptions.due(store, ALL, most=10).owed == []

    assert begin(store, sub, transaction_ms=-1) == [1]

    assert subscriptions.due(store, ALL, most=10).owed == [sub.id]
    assert begin(store, sub) == [2]


def test_what_is_owed_while_one_is_under_way_is_due_with_its_answer(store: Store) -> None:
    sub = subscription()
    put(store, sub)
    begin(store, sub)
    put(store, sub)

    assert subscriptions.due(store, ALL, most=10).owed == []
    subscriptions.end_notifies(store, [(sub.id, 1)])
    assert subscriptions.due(store, ALL, most=10).owed == [sub.id]


def test_what_is_put_off_is_owed_later_and_has_its_number_again(store: Store) -> None:
    subs = [subscription(ALICE), subscription(BOB)]
    put(store, *subs)
    assert begin(store, *subs) == [1, 1]

    subscriptions.put_off_notifies(store, [(subs[0].id, 1, LONG_MS), (subs[1].id, 1, 0)])
    assert subscriptions.due(store, ALL, most=10).owed == [subs[1].id]
    assert begin(store, *subs) == [1, 1]


def test_what_is_not_under_way_is_not_put_off(store: Store) -> None:
    """Nor is another NOTIFY of the dialog, when the call comes again."""
    sub = subscription()
    put(store, sub)
    begin(store, sub)
    subscriptions.put_off_notifies(store, [(sub.id, 7, LONG_MS)])
    assert begin(store, sub) == [0]

    subscriptions.end_notifies(store, [(sub.id, 1)])
    subscriptions.put_off_notifies(store, [(sub.id, 1, LONG_MS)])
    assert begin(store, sub) == [2]


def test_a_change_of_what_is_put_off_is_told_as_soon_as_there_is_room(store: Store) -> None:
    sub = subscription()
    put(store, sub)
    begin(store, sub)
    subscriptions.put_off_notifies(store, [(sub.id, 1, LONG_MS)])
    assert subscriptions.due(store, ALL, most=10).owed == []

    put(store, sub._replace(state="terminated", reason="timeout"))
    assert subscriptions.due(store, ALL, most=10).owed == [sub.id]


def test_who_has_run_out_is_found_by_time_alone(store: Store) -> None:
    over = subscription(ALICE)._replace(expires_ms=clock.now_ms() - 1)
    put(store, over, subscription(BOB), owed_ms=None)

    assert subscriptions.due(store, ALL, most=10) == ([], [over.id])


def test_one_that_has_ended_is_found_again_when_its_last_notify_could_never_be_sent(store: Store) -> None:
    ended = subscription()._replace(
        state="terminated", reason="timeout", at_ms=clock.now_ms() - subscriptions.KEPT_AFTER_END_MS
    )
    put(store, ended, owed_ms=None)

    assert subscriptions.due(store, ALL, most=10).run_out == [ended.id]


def test_lists_by_user_and_application(store: Store) -> None:
    mine = [subscription(number=number) for number in (1, 2)]
    other = subscription(number=3, application="ulp.ua")
    device = subscription(number=4, application="")
    bob = subscription(BOB)
    put(store, *mine, other, device, bob)

    wanted = [(ALICE, "mms.ua"), (BOB, "ulp.ua"), (BOB, "mms.ua"), (ALICE, "ulp.ua")]
    assert [one.subscriptions for one in users.read_all(store, wanted)] == [tuple(mine), (), (bob,), (other,)]
    assert ids(subscriptions.of_user(store, ALICE)) == ids([*mine, other, device])
    assert ids(subscriptions.of_application(store, "mms.ua")) == ids([*mine, bob])
    assert len(list(subscriptions.everything(store))) == 5
    assert subscriptions.count(store, "mms.ua") == 3
    number = store.layout.user_shard(ALICE)
    first = subscriptions.page(store, number, "mms.ua", after="", most=1)
    rest = subscriptions.page(store, number, "mms.ua", after=first[0], most=10)
    assert len(first) == 1
    assert set(first + rest) >= {one.id for one in mine}


def test_a_rule_is_asked_again_when_another_was_faster(store: Store, other_store: Store) -> None:
    sub = subscription()
    put(store, sub)
    seen: list[Subscription | None] = []

    def rule(old: Subscription | None) -> Placed[int]:
        seen.append(old)
        if len(seen) == 1:
            put(other_store, sub._replace(model="faster"))
        assert old is not None
        return Placed(old._replace(vendor="mine"), None, len(seen))

    assert subscriptions.change(store, sub.id, rule) == 2
    stored = subscriptions.read(store, sub.id)
    assert stored is not None
    assert (stored.model, stored.vendor) == ("faster", "mine")


def test_a_broken_record_counts_as_none_and_is_replaced(store: Store) -> None:
    sub = subscription()
    store.db.set(keys.subscription(store.layout.target_shard(sub.id), sub.id), b"\xc1")

    assert subscriptions.read(store, sub.id) is None
    put(store, sub)
    assert subscriptions.read(store, sub.id) == sub


STEPS = ("put", "begin", "end", "late end", "lost", "put off", "remove")


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=100)
@given(st.lists(st.sampled_from(STEPS), max_size=15))
def test_numbers_only_grow_and_one_is_out_whatever_happens(store: Store, steps: list[str]) -> None:
    sub = subscription()
    store.db.flushdb()
    highest, out, is_begun = 0, False, False
    for step in steps:
        match step:
            case "put":
                put(store, sub)
            case "begin" | "lost":
                [number] = begin(store, sub, transaction_ms=LONG_MS if step == "begin" else -1)
                if number > 0:
                    assert not out
                    assert number == highest + 1
                    highest, out, is_begun = number, step == "begin", True
            case "end":
                subscriptions.end_notifies(store, [(sub.id, highest)])
                out = is_begun = False
            case "put off":
                subscriptions.put_off_notifies(store, [(sub.id, highest, 0)])
                highest, out, is_begun = highest - is_begun, False, False
            case "late end":
                subscriptions.end_notifies(store, [(sub.id, highest - 1)])
            case _:
                subscriptions.remove_all(store, [sub.id])
                highest, out, is_begun = 0, False, False
