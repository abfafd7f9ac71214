"""Priority orders what is ready in a shard and what waits for one user; a share is for what is lower."""

from collections import Counter
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from omapush import clock
from omapush.push.values import order_of, ticket
from omapush.store import keys, outbox, outbox_views
from omapush.store.client import Store
from omapush.store.outbox import Finished, Owner, Taken, Told
from tests.harness.wait import wait_until
from tests.store.conftest import Make

SHARDS = range(4)
OWNER = Owner("node-1", "run-a", 0)
PRIORITIES = ("high", "medium", "low")
YEARS_US = st.integers(1_750_000_000_000_000, 2_650_000_000_000_000)
"From 2025 to 2053."


@pytest.fixture(autouse=True)
def owned(store: Store) -> None:
    outbox.claim(store, SHARDS, OWNER, lease_ms=60_000, transaction_ms=40_000)


def take(store: Store, *, most: int = 1) -> list[Taken]:
    found = outbox.take(store, SHARDS, OWNER, transaction_ms=40_000, most=most)
    return [one for batch in found.values() for one in batch or () if isinstance(one, Taken)]


def in_one_shard(store: Store, number: int) -> list[str]:
    """Users of the first user shard."""
    found: list[str] = []
    candidate = 0
    while len(found) < number:
        aor = f"sip:u{candidate}@home1.example"
        if store.layout.user_shard(aor) == 0:
            found.append(aor)
        candidate += 1
    return found


@given(times=st.lists(YEARS_US, min_size=2, max_size=2), of=st.sampled_from(PRIORITIES))
def test_one_priority_keeps_the_order_of_acceptance(times: list[int], of: str) -> None:
    first, second = sorted(times)
    assert order_of(of, first) <= order_of(of, second)
    assert (order_of(of, first) == order_of(of, second)) == (first == second)


@given(one=YEARS_US, other=YEARS_US)
def test_priorities_never_meet_and_each_has_sixteen_digits_at_most(one: int, other: int) -> None:
    orders = [order_of(priority, time) for priority, time in zip(PRIORITIES, (one, other, one), strict=True)]
    assert all(more < less for more, less in pairwise(orders))
    assert f"{orders[0]:016d}"[0] == "0"
    assert f"{orders[1]:016d}"[0] in "123"
    assert f"{orders[2]:016d}"[0] in "4567"
    assert all(len(f"{order:016d}") == 16 for order in orders)


def test_what_waits_for_one_user_goes_by_priority_then_by_acceptance(store: Store, make: Make) -> None:
    firsts: Counter[str] = Counter()
    for _ in range(40):
        under_way = make.delivery()
        outbox.hand_over(store, [under_way])
        assert [one.delivery for one in take(store)] == [under_way]
        waiting = [make.delivery(priority=priority) for priority in (*reversed(PRIORITIES), *PRIORITIES)]
        outbox.hand_over(store, waiting)
        places = {ticket(one): index for index, one in enumerate(waiting)}
        went: list[int] = []
        last = ticket(under_way)
        for _ in waiting:
            outbox.complete(store, [Finished(last, 0)])
            (one,) = take(store)
            went.append(places[one.ticket])
            last = one.ticket
        outbox.complete(store, [Finished(last, 0)])
        of_each = [[index for index in went if waiting[index].priority == one] for one in PRIORITIES]
        assert of_each == [[2, 3], [1, 4], [0, 5]]
        firsts[waiting[went[0]].priority] += 1
    assert firsts["high"] >= 25  # one in sixteen is of a lower priority


def test_what_is_ready_in_a_shard_goes_by_priority(store: Store, make: Make) -> None:
    users = in_one_shard(store, 90)
    outbox.hand_over(store, [make.delivery(aor, priority="low") for aor in users[:30]])
    outbox.hand_over(store, [make.delivery(aor, priority="medium") for aor in users[30:60]])
    outbox.hand_over(store, [make.delivery(aor, priority="high") for aor in users[60:]])

    took = [one.delivery.priority for one in take(store, most=32)]
    assert took.count("high") == 30
    assert set(took) <= {"high", "medium", "low"}
    assert took.count("low") <= 2  # its share


def test_an_urgent_push_takes_the_turn_of_one_to_the_same_user_that_nobody_has_taken(
    store: Store, make: Make
) -> None:
    slow, urgent = make.delivery(priority="low"), make.delivery(priority="high")
    outbox.hand_over(store, [slow])
    outbox.hand_over(store, [urgent])
    assert outbox_views.whereabouts(store, slow) == "waiting"

    assert [one.delivery for one in take(store)] == [urgent]
    assert take(store) == []
    outbox.complete(store, [Finished(ticket(urgent), 0)])
    assert [one.delivery for one in take(store)] == [slow]


def test_an_urgent_push_does_not_overtake_one_that_is_under_way(store: Store, make: Make) -> None:
    slow, urgent = make.delivery(priority="low"), make.delivery(priority="high")
    outbox.hand_over(store, [slow])
    assert len(take(store)) == 1
    outbox.hand_over(store, [urgent])
    assert take(store) == []
    assert outbox_views.whereabouts(store, urgent) == "waiting"


@pytest.mark.parametrize("most", [1, 5, 64])
def test_low_is_not_starved_by_an_endless_row_of_high_and_medium(store: Store, make: Make, most: int) -> None:
    users = iter(in_one_shard(store, 1_500 + 2 * most + 20))
    outbox.hand_over(store, [make.delivery(next(users), priority="low") for _ in range(10)])
    outbox.hand_over(store, [make.delivery(next(users), priority="medium") for _ in range(10)])
    went: Counter[str] = Counter()
    while sum(went.values()) < 1_400 and (went["low"] < 1 or went["medium"] < 1):
        outbox.hand_over(store, [make.delivery(next(users), priority="high") for _ in range(most)])
        taken = take(store, most=most)
        assert len(taken) == most
        went.update(one.delivery.priority for one in taken)
        outbox.complete(store, [Finished(one.ticket, 0) for one in taken])
    assert went["low"] >= 1
    assert went["medium"] >= 1
    # One in 16, by chance: a few takes say nothing of it.
    assert went["high"] > 6 * (went["low"] + went["medium"]) or sum(went.values()) < 16 * most


def test_low_is_not_starved_behind_urgent_pushes_to_the_same_user(store: Store, make: Make) -> None:
    last = make.delivery(priority="high")
    low = make.delivery(priority="low")
    outbox.hand_over(store, [last, low])
    assert [one.delivery for one in take(store)] == [last]
    for _ in range(400):
        outbox.hand_over(store, [make.delivery(priority="high")])
        outbox.complete(store, [Finished(ticket(last), 0)])
        (one,) = take(store)
        last = one.delivery
        if last == low:
            return
    pytest.fail("low never had its turn")


def test_what_is_chosen_again_goes_before_others_of_its_priority_and_behind_more_urgent_ones(
    store: Store, make: Make
) -> None:
    again, later, urgent = in_one_shard(store, 3)
    first = make.delivery(again)
    outbox.hand_over(store, [first])
    assert len(take(store)) == 1
    outbox.hand_over(store, [make.delivery(later)])
    outbox.choose_again(store, [(ticket(first), Told("5f3b", 200))])
    number = keys.outbox(0, "ready")
    assert store.db.zrange(number, 0, 0) == [ticket(first).encode()]
    outbox.hand_over(store, [make.delivery(urgent, priority="high")])
    assert store.db.zrank(number, ticket(first)) == 1


def test_what_is_to_be_sent_after_a_time_waits_for_it_and_holds_up_nothing(store: Store, make: Make) -> None:
    at_ms = clock.now_ms() + 400
    scheduled, now = make.delivery(deliver_after_ms=at_ms), make.delivery()
    outbox.hand_over(store, [scheduled, now])
    assert outbox_views.whereabouts(store, scheduled) == "later"
    assert outbox.depth(store).later == 1
    assert [one.delivery for one in take(store)] == [now]
    outbox.complete(store, [Finished(ticket(now), 0)])

    wait_until(lambda: outbox.wake(store) == 1, 10, "its time")
    assert clock.now_ms() >= at_ms
    assert [(one.delivery, one.attempt) for one in take(store)] == [(scheduled, 1)]


def test_a_time_that_is_past_does_not_hold_a_push_up(store: Store, make: Make) -> None:
    one = make.delivery(deliver_after_ms=clock.now_ms() - 1)
    outbox.hand_over(store, [one])
    assert [taken.delivery for taken in take(store)] == [one]
