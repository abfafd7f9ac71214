"""Deliveries that wait for their user's registration: held, woken by it, looked at again, forgotten."""

import random
from typing import cast

import pytest

from omapush import clock
from omapush.push.registration import Doubt, Report, doubted
from omapush.push.values import TARGET_LENGTH, Delivery, ticket
from omapush.store import keys, outbox, outbox_views, registrations
from omapush.store.client import Store
from omapush.store.outbox import Depth, Finished, Hold, Taken
from tests.store.conftest import Make
from tests.store.one_sender import ALICE, NEVER_MS, SHARDS, take


def hold(store: Store, *deliveries: Delivery, again_ms: int = NEVER_MS) -> list[bool]:
    return outbox.hold(store, [Hold(ticket(delivery), again_ms) for delivery in deliveries])


def held(store: Store, make: Make, aor: str = ALICE, *, again_ms: int = NEVER_MS) -> Delivery:
    """One delivery that a sender took and held."""
    delivery = make.delivery(aor)
    outbox.hand_over(store, [delivery])
    assert [one.delivery for one in take(store)] == [delivery]
    assert hold(store, delivery, again_ms=again_ms) == [True]
    return delivery


def structures(store: Store) -> set[str]:
    """Which parts of any outbox hold something, who owns them aside."""
    names = {str(name, "ascii").partition(":")[0] for name in cast("list[bytes]", store.db.keys("*"))}
    return names - {"owner", "senders"}


def ready(store: Store) -> list[bytes]:
    """The tickets that may be taken now, of all shards."""
    lists = [cast("list[bytes]", store.db.zrange(keys.outbox(number, "ready"), 0, -1)) for number in SHARDS]
    return [place for each in lists for place in each]


def test_what_is_held_is_neither_ready_nor_under_way_and_its_target_is_free(store: Store, make: Make) -> None:
    delivery = held(store, make)
    assert outbox_views.whereabouts(store, delivery) == "held"
    assert outbox.depth(store) == Depth(all=1, ready=0, waiting=0, taken=0, later=0, held=1)

    behind = make.delivery(ALICE)
    outbox.hand_over(store, [behind])
    assert [one.delivery for one in take(store)] == [behind]


def test_a_change_of_the_registration_wakes_it_at_once_and_no_try_is_counted(
    store: Store, make: Make
) -> None:
    delivery = held(store, make)

    assert outbox.wake_targets(store, [ALICE]) == 1
    assert outbox_views.whereabouts(store, delivery) == "ready"
    assert take(store) == [Taken(ticket(delivery), delivery, 1)]
    assert store.db.exists(*(keys.outbox(number, "held") for number in SHARDS)) == 0


def tried(store: Store, make: Make) -> Delivery:
    """One delivery whose try found the device away, until its user registers."""
    delivery = make.delivery(ALICE)
    outbox.hand_over(store, [delivery])
    take(store)
    outbox.complete(store, [Finished(ticket(delivery), NEVER_MS, on_change=True)])
    return delivery


def test_a_try_that_found_the_device_away_waits_for_the_registration_and_counts(
    store: Store, make: Make
) -> None:
    delivery = tried(store, make)
    assert outbox_views.whereabouts(store, delivery) == "held"

    assert outbox.wake_targets(store, [ALICE]) == 1
    assert [one.attempt for one in take(store)] == [2]


def test_a_registration_that_only_came_again_wakes_what_was_tried_and_nothing_else(
    store: Store, make: Make
) -> None:
    first, untried = tried(store, make), held(store, make)

    assert outbox.wake_targets(store, [ALICE], only_tried=True) == 1
    assert outbox_views.whereabouts(store, first) == "ready"
    assert outbox_views.whereabouts(store, untried) == "held"


def test_only_the_users_whose_registration_changed_are_woken(store: Store, make: Make) -> None:
    aors = [f"sip:{n}@home1.example" for n in range(20)]
    deliveries = [held(store, make, aor) for aor in aors]

    assert outbox.wake_targets(store, aors[:7]) == 7
    assert {one.delivery for one in take(store)} == set(deliveries[:7])
    assert outbox.depth(store).held == 13


def test_what_is_held_for_one_user_is_woken_in_order_of_acceptance(store: Store, make: Make) -> None:
    deliveries = [held(store, make) for _ in range(6)]
    outbox.wake_targets(store, [ALICE])

    for delivery in deliveries:
        assert [one.delivery for one in take(store)] == [delivery]
        outbox.complete(store, [Finished(ticket(delivery), 0)])
    assert structures(store) == set()


def test_waking_twice_or_nobody_wakes_nothing(store: Store, make: Make) -> None:
    assert outbox.wake_targets(store, [ALICE]) == 0
    assert outbox.wake_targets(store, []) == 0
    held(store, make)
    assert [outbox.wake_targets(store, [ALICE]) for _ in range(3)] == [1, 0, 0]
    assert outbox.depth(store).ready == 1


def test_a_try_that_is_put_off_for_another_reason_is_not_woken(store: Store, make: Make) -> None:
    delivery = make.delivery(ALICE)
    outbox.hand_over(store, [delivery])
    take(store)
    outbox.complete(store, [Finished(ticket(delivery), NEVER_MS)])

    assert outbox.wake_targets(store, [ALICE]) == 0
    assert outbox_views.whereabouts(store, delivery) == "later"


def test_its_time_makes_it_be_looked_at_again_and_no_try_is_counted(store: Store, make: Make) -> None:
    held(store, make, again_ms=clock.now_ms() - 1)

    assert outbox.wake(store) == 1
    assert [one.attempt for one in take(store)] == [1]


def test_a_change_while_a_sender_has_it_queues_nothing_twice(store: Store, make: Make) -> None:
    """The sender looks at the registration once more after it has put the delivery off."""
    delivery = held(store, make, again_ms=clock.now_ms() - 1)
    outbox.wake(store)
    take(store)

    assert outbox.wake_targets(store, [ALICE]) == 0
    assert outbox_views.whereabouts(store, delivery) == "taken"
    assert hold(store, delivery) == [True]


def test_a_hold_that_its_time_interrupted_is_not_told_twice(store: Store, make: Make) -> None:
    delivery = held(store, make, again_ms=clock.now_ms() - 1)
    outbox.wake(store)
    take(store)

    assert hold(store, delivery) == [False]
    assert outbox.wake_targets(store, [ALICE]) == 1


def test_only_what_is_taken_can_be_held(store: Store, make: Make) -> None:
    delivery = make.delivery(ALICE)
    assert hold(store, delivery) == [False]
    outbox.hand_over(store, [delivery])
    assert hold(store, delivery) == [False]
    assert outbox_views.whereabouts(store, delivery) == "ready"


@pytest.mark.parametrize("again_ms", [0, NEVER_MS])
def test_the_end_of_a_try_ends_the_hold(store: Store, make: Make, again_ms: int) -> None:
    delivery = held(store, make, again_ms=clock.now_ms() - 1)
    outbox.wake(store)
    take(store)
    outbox.complete(store, [Finished(ticket(delivery), again_ms)])

    assert outbox.depth(store).held == 0
    assert outbox.wake_targets(store, [ALICE]) == 0


def test_a_held_delivery_can_be_ended(store: Store, make: Make) -> None:
    delivery = held(store, make)
    outbox.complete(store, [Finished(ticket(delivery), 0)])

    assert outbox_views.whereabouts(store, delivery) == "nowhere"
    assert structures(store) == set()


def test_whatever_order_things_happen_in_nothing_is_lost_or_there_twice(store: Store, make: Make) -> None:
    chance = random.Random(7)
    aors = [f"sip:{n}@home1.example" for n in range(3)]
    left = {ticket(one): one for one in (make.delivery(chance.choice(aors)) for _ in range(30))}
    outbox.hand_over(store, left.values())
    ended: list[Delivery] = []
    while left:
        for one in take(store):
            if chance.random() < 0.3:
                outbox.complete(store, [Finished(one.ticket, 0)])
                ended.append(left.pop(one.ticket))
            else:
                hold(store, one.delivery, again_ms=chance.choice([0, NEVER_MS]))
        outbox.wake_targets(store, [chance.choice(aors)])
        outbox.wake(store)
        assert outbox.depth(store).all == len(left)
        targets = [place[:TARGET_LENGTH] for place in ready(store)]
        assert len(set(targets)) == len(targets), "two of one target are ready"

    assert len(ended) == len(set(ended)) == 30
    assert structures(store) == set()


def report(aor: str, *, expires_s: int = 600, at_ms: int = 1_800_000_000_000) -> Report:
    return Report(aor, expires_s, "sip:s", "", (), False, "register", (), "", "", at_ms, ())


def test_capturing_tells_whose_devices_changed(store: Store) -> None:
    bob = "sip:bob@home1.example"

    assert sorted(registrations.capture(store, [report(ALICE), report(bob)]).devices) == [ALICE, bob]
    assert registrations.capture(store, [report(ALICE), report(bob, expires_s=0)]).devices == [bob]
    assert registrations.capture(store, [report(ALICE, at_ms=1_800_000_600_001)]).devices == [ALICE]


def test_capturing_queues_what_was_held_for_whoever_has_other_devices(store: Store, make: Make) -> None:
    bob = "sip:bob@home1.example"
    mine, tried_once, his = held(store, make), tried(store, make), held(store, make, bob)
    registrations.capture(store, [report(ALICE), report(bob, expires_s=0)])

    assert [outbox_views.whereabouts(store, one) for one in (mine, tried_once, his)] == [
        "ready",
        "waiting",
        "held",
    ]


def test_capturing_queues_what_was_tried_when_the_same_device_registers_again(
    store: Store, make: Make
) -> None:
    registrations.capture(store, [report(ALICE)])
    first, untried = tried(store, make), held(store, make)

    registrations.capture(store, [report(ALICE, at_ms=1_800_000_000_001)])
    assert outbox_views.whereabouts(store, first) == "ready"
    assert outbox_views.whereabouts(store, untried) == "held"


def test_a_change_of_nothing_but_a_doubt_queues_nothing(store: Store, make: Make) -> None:
    registrations.capture(store, [report(ALICE)])
    first, untried = tried(store, make), held(store, make)
    doubt = Doubt("delivery", "a MESSAGE was answered 404", 1_800_000_000_001)
    registrations.change(store, {ALICE: lambda known: None if known is None else doubted(known, doubt)})

    assert [outbox_views.whereabouts(store, one) for one in (first, untried)] == ["held", "held"]
