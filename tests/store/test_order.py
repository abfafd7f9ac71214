"""What was held leaves in order of acceptance, whatever a sender has in hand when the user is back."""

from __future__ import annotations

import pytest

from omapush.push.registration import Report
from omapush.push.values import Delivery, ticket
from omapush.store import keys, outbox, outbox_views, registrations, users
from omapush.store.client import Store
from omapush.store.outbox import Finished, Hold, Taken
from tests.store.conftest import Make
from tests.store.one_sender import ALICE, NEVER_MS, SHARDS, take


def held(store: Store, make: Make, number: int) -> list[Delivery]:
    """So many deliveries that a sender took and held."""
    deliveries = []
    for _ in range(number):
        deliveries.append(make.delivery(ALICE))
        outbox.hand_over(store, deliveries[-1:])
        assert [one.delivery for one in take(store)] == deliveries[-1:]
        outbox.hold(store, [Hold(ticket(deliveries[-1]), NEVER_MS)])
    return deliveries


def comes_back(store: Store) -> None:
    """A third-party REGISTER of the user is stored."""
    report = Report(ALICE, 600, "sip:s", "", (), False, "register", (), "", "", 1_800_000_000_000, ())
    assert registrations.capture(store, [report]).devices == [ALICE]


def looked_at(store: Store, one: Taken) -> bool:
    """What a sender learns before it sends: whether the delivery gives way."""
    (user,) = users.read_all(store, [(ALICE, "mms.ua")], [one.ticket])
    return user.gives_way


def sent_in_turn(store: Store) -> list[Delivery]:
    """All deliveries, as a sender would send them one after the other."""
    sent = []
    while taken := take(store):
        (one,) = taken
        if looked_at(store, one):
            outbox.give_way(store, [one.ticket])
            continue
        sent.append(one.delivery)
        outbox.complete(store, [Finished(one.ticket, 0)])
    return sent


def test_what_comes_while_others_are_held_is_behind_them_once_the_user_is_back(
    store: Store, make: Make
) -> None:
    deliveries = [*held(store, make, 2), make.delivery(ALICE)]
    outbox.hand_over(store, deliveries[-1:])

    comes_back(store)

    assert outbox_views.whereabouts(store, deliveries[-1]) == "waiting"
    assert sent_in_turn(store) == deliveries


def test_what_a_sender_has_in_hand_when_the_user_comes_back_gives_way(store: Store, make: Make) -> None:
    deliveries = [*held(store, make, 2), make.delivery(ALICE)]
    outbox.hand_over(store, deliveries[-1:])
    (in_hand,) = take(store)

    comes_back(store)

    assert looked_at(store, in_hand)
    assert outbox_views.held_before(store, [in_hand.ticket]) == [[in_hand.ticket]]
    outbox.give_way(store, [in_hand.ticket])
    assert sent_in_turn(store) == deliveries


def test_what_is_to_be_held_for_what_is_no_longer_so_waits_behind_the_others(
    store: Store, make: Make
) -> None:
    deliveries = [*held(store, make, 2), make.delivery(ALICE)]
    outbox.hand_over(store, deliveries[-1:])
    (in_hand,) = take(store)
    comes_back(store)

    assert outbox.hold(store, [Hold(in_hand.ticket, NEVER_MS)]) == [False]

    assert outbox_views.whereabouts(store, in_hand.delivery) == "waiting"
    assert sent_in_turn(store) == deliveries


def test_what_waits_for_its_next_hop_gives_way_when_it_is_taken_again(store: Store, make: Make) -> None:
    deliveries = [*held(store, make, 2), make.delivery(ALICE)]
    outbox.hand_over(store, deliveries[-1:])
    (in_hand,) = take(store)
    outbox.put_off(store, [(in_hand.ticket, 0)])

    comes_back(store)
    outbox.wake(store)

    assert sent_in_turn(store) == deliveries


def test_what_was_sent_before_the_user_came_back_ends_as_ever_and_the_others_follow(
    store: Store, make: Make
) -> None:
    deliveries = [*held(store, make, 2), make.delivery(ALICE)]
    outbox.hand_over(store, deliveries[-1:])
    (sent,) = take(store)
    comes_back(store)

    outbox.complete(store, [Finished(sent.ticket, 0)])

    assert sent_in_turn(store) == deliveries[:2]


def test_an_earlier_one_in_hand_does_not_give_way_to_later_ones(store: Store, make: Make) -> None:
    first = make.delivery(ALICE)
    later = held(store, make, 2)
    outbox.hand_over(store, [first])
    (in_hand,) = take(store)

    comes_back(store)

    assert not looked_at(store, in_hand)
    outbox.complete(store, [Finished(in_hand.ticket, 0)])
    assert sent_in_turn(store) == later


def test_it_gives_way_once_and_never_to_what_is_held_anew(store: Store, make: Make) -> None:
    deliveries = [*held(store, make, 1), make.delivery(ALICE)]
    outbox.hand_over(store, deliveries[-1:])
    (in_hand,) = take(store)
    comes_back(store)
    outbox.give_way(store, [in_hand.ticket])

    (first,) = take(store)
    assert first.delivery == deliveries[0]
    outbox.hold(store, [Hold(first.ticket, NEVER_MS)])
    (again,) = take(store)

    assert again.delivery == deliveries[1]
    assert not looked_at(store, again)


@pytest.mark.parametrize("urgent", ["high", "medium"])
def test_an_urgent_push_in_hand_does_not_give_way_to_less_urgent_ones(
    store: Store, make: Make, urgent: str
) -> None:
    held(store, make, 2)
    outbox.hand_over(store, [make.delivery(ALICE, priority=urgent)])
    (in_hand,) = take(store)

    comes_back(store)

    assert looked_at(store, in_hand) == (urgent == "medium")


def test_those_of_other_users_and_shards_are_told_apart(store: Store, make: Make) -> None:
    held(store, make, 1)
    mine, others = make.delivery(ALICE), [make.delivery(f"sip:{n}@home1.example") for n in range(8)]
    outbox.hand_over(store, [mine, *others])
    taken = take(store)
    comes_back(store)

    found = users.read_all(
        store, [(one.delivery.aor, "mms.ua") for one in taken], [one.ticket for one in taken]
    )

    assert [one.delivery for one, user in zip(taken, found, strict=True) if user.gives_way] == [mine]


def test_so_many_are_remembered_as_senders_can_read_each_time(store: Store, make: Make) -> None:
    aors = [f"sip:{number}@home1.example" for number in range(300 * len(SHARDS))]
    earlier, later = ([make.delivery(aor) for aor in aors] for _ in range(2))
    outbox.hand_over(store, earlier)
    while taken := take(store):
        outbox.hold(store, [Hold(one.ticket, NEVER_MS) for one in taken])
    outbox.hand_over(store, later)
    while take(store):
        pass

    assert outbox.wake_targets(store, aors) == len(aors)

    sizes = [int(store.db.zcard(keys.outbox(number, "late"))) for number in SHARDS]
    assert max(sizes) == 256
    assert 0 < max(int(store.db.pttl(keys.outbox(number, "late"))) for number in SHARDS) <= 60_000
