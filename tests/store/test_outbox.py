"""The outbox of a user shard: order, one ticket a target, leases, and what a crash leaves."""

import pytest

from omapush import clock
from omapush.errors import StoreUnavailable
from omapush.push.values import Delivery, ticket
from omapush.store import keys, looks, outbox, outbox_views, senders
from omapush.store.client import Store
from omapush.store.outbox import Depth, Finished, Hold, Owner, Taken, Told, Unreadable
from tests.harness.wait import wait_until
from tests.store.conftest import Make

ONE = Owner("node-1", "run-a", 0)
OTHER = Owner("node-2", "run-x", 0)
SHARDS = range(4)


def own(store: Store, owner: Owner = ONE, *, lease_ms: int = 60_000) -> list[bool]:
    return outbox.claim(store, SHARDS, owner, lease_ms=lease_ms, transaction_ms=40_000)


def take(store: Store, owner: Owner = ONE, *, most: int = 64, transaction_ms: int = 40_000) -> list[Taken]:
    found = outbox.take(store, SHARDS, owner, transaction_ms=transaction_ms, most=most)
    assert None not in found.values(), "not the owner"
    return [one for batch in found.values() for one in batch or () if isinstance(one, Taken)]


def finish(store: Store, *deliveries: Delivery, again_ms: int = 0) -> None:
    outbox.complete(store, [Finished(ticket(delivery), again_ms) for delivery in deliveries])


def test_what_is_handed_over_is_taken_once_as_it_was(store: Store, make: Make) -> None:
    delivery = make.delivery()
    outbox.hand_over(store, [delivery])
    own(store)

    assert take(store) == [Taken(ticket(delivery), delivery, 1)]
    assert take(store) == []
    assert outbox_views.whereabouts(store, delivery) == "taken"
    finish(store, delivery)
    assert outbox_views.whereabouts(store, delivery) == "nowhere"
    assert outbox.depth(store) == Depth(0, 0, 0, 0, 0)
    assert store.db.keys("busy:*") == []


def test_handing_over_twice_is_handing_over_once(store: Store, make: Make) -> None:
    delivery, next_one = make.delivery(), make.delivery()
    for _ in range(3):
        outbox.hand_over(store, [delivery, next_one])
    own(store)
    assert outbox.depth(store) == Depth(2, 1, 1, 0, 0)

    assert [one.delivery for one in take(store)] == [delivery]
    outbox.hand_over(store, [delivery, next_one])
    assert take(store) == []


def test_a_target_has_one_delivery_out_and_the_rest_wait_in_order_of_acceptance(
    store: Store, make: Make
) -> None:
    deliveries = [make.delivery() for _ in range(20)]
    outbox.hand_over(store, deliveries[:1])
    outbox.hand_over(store, reversed(deliveries[1:]))
    own(store)

    for delivery in deliveries:
        (one,) = take(store)
        assert one.delivery == delivery
        assert take(store) == []
        finish(store, delivery)


def test_one_result_stored_twice_in_a_batch_frees_one_delivery(store: Store, make: Make) -> None:
    """So it is after a crash: the answer is judged once more."""
    first, second, third = (make.delivery() for _ in range(3))
    other = make.delivery("sip:other@home1.example")
    outbox.hand_over(store, [first, second, third, other])
    own(store)
    assert len(take(store)) == 2

    finish(store, first, first, other)

    assert [one.delivery for one in take(store)] == [second]
    assert outbox.depth(store) == Depth(2, 0, 1, 1, 0)
    finish(store, second, second)
    assert [one.delivery for one in take(store)] == [third]
    finish(store, third, third)
    assert store.db.keys("busy:*") == []


def test_a_waiting_target_does_not_hold_up_another(store: Store, make: Make) -> None:
    slow = [make.delivery("sip:slow@home1.example") for _ in range(3)]
    quick = [make.delivery(f"sip:{i}@home1.example") for i in range(30)]
    outbox.hand_over(store, slow + quick)
    own(store)

    taken = {one.delivery for one in take(store)}
    assert taken == {slow[0], *quick}
    finish(store, *quick)
    assert outbox.depth(store) == Depth(3, 0, 2, 1, 0)


def test_no_more_is_taken_than_asked_for(store: Store, make: Make) -> None:
    outbox.hand_over(store, [make.delivery(f"sip:{i}@home1.example") for i in range(300)])
    own(store)

    assert [len(take(store, most=3)) for _ in range(2)] == [12, 12]
    assert looks.ready(store, SHARDS).ready == tuple(SHARDS)


def test_only_the_owner_takes(store: Store, make: Make) -> None:
    outbox.hand_over(store, [make.delivery()])

    def strangers() -> list[dict[int, list[Taken | Unreadable] | None]]:
        return [
            outbox.take(store, SHARDS, who, transaction_ms=1, most=1)
            for who in (OTHER, ONE._replace(sender=1), ONE._replace(run="run-b"))
        ]

    nothing = dict.fromkeys(SHARDS)
    assert strangers() == [nothing] * 3
    own(store)
    assert strangers() == [nothing] * 3
    assert len(take(store)) == 1


def test_a_shard_has_one_owner_until_the_lease_ends(store: Store, other_store: Store) -> None:
    assert own(store) == [True] * 4
    assert own(store) == [True] * 4
    assert own(other_store, OTHER) == [False] * 4
    assert {owner["node"] for owner in outbox_views.owners(store).values()} == {"node-1"}


def test_a_lease_from_before_the_clock_went_back_holds_nobody_up(store: Store) -> None:
    own(store)
    for number in SHARDS:
        owner = keys.outbox(number, "owner")
        store.db.hset(owner, "until_ms", int(store.db.hget(owner, "until_ms") or 0) + 3_600_000)

    assert all(own(store, OTHER))
    assert not any(own(store, ONE))


def test_a_sender_that_died_before_the_clock_went_back_has_no_share(store: Store) -> None:
    senders.sign_of_life(store, ONE, lease_ms=200)
    for name in store.db.keys("senders*"):
        store.db.zincrby(name, 3_600_000, f"{ONE.node}/{ONE.sender}")

    assert senders.sign_of_life(store, OTHER, lease_ms=200) == 1


def test_a_lease_that_ran_out_is_taken_over_and_the_former_owner_takes_nothing_more(
    store: Store, make: Make
) -> None:
    own(store, lease_ms=1)
    wait_until(lambda: all(own(store, OTHER)), 5, "the lease's end")
    outbox.hand_over(store, [make.delivery()])

    assert outbox.take(store, SHARDS, ONE, transaction_ms=1, most=1) == dict.fromkeys(SHARDS)
    assert own(store) == [False] * 4
    assert len(take(store, OTHER)) == 1


def test_a_shard_that_is_given_back_can_be_had_at_once(store: Store) -> None:
    own(store)
    outbox.release(store, [0], OTHER)
    assert own(store, OTHER) == [False] * 4
    outbox.release(store, [0, 1], ONE)

    assert own(store, OTHER) == [True, True, False, False]


def test_what_was_taken_before_a_shard_changed_its_sender_is_due_as_well(store: Store, make: Make) -> None:
    """Senders of one run share out shards anew while requests are in flight."""
    outbox.hand_over(store, [make.delivery()])
    own(store)
    assert len(take(store)) == 1
    outbox.release(store, SHARDS, ONE)
    assert all(own(store, ONE._replace(sender=1)))

    assert all(own(store, ONE._replace(run="run-b")))

    assert len(outbox.overdue(store)) == 1


def test_a_node_that_restarted_gets_its_shards_at_once_and_what_it_had_taken_is_due(
    store: Store, make: Make
) -> None:
    delivery = make.delivery()
    outbox.hand_over(store, [delivery])
    own(store)
    take(store)
    assert outbox.overdue(store) == []

    assert own(store, ONE._replace(run="run-b")) == [True] * 4
    assert outbox.overdue(store) == [ticket(delivery)]


def test_a_takeover_by_another_node_leaves_what_is_in_flight_to_its_time(store: Store, make: Make) -> None:
    """The former owner may only be slow: its requests can still be answered."""
    outbox.hand_over(store, [make.delivery()])
    own(store, lease_ms=200)
    take(store)
    wait_until(lambda: all(own(store, OTHER)), 5, "the lease's end")

    assert outbox.overdue(store) == []
    assert len(outbox.overdue(store, since_ms=-41_000)) == 1


def test_a_lost_delivery_goes_out_again_before_all_others_and_is_counted(store: Store, make: Make) -> None:
    lost, behind = make.delivery(), make.delivery("sip:b@home1.example")
    outbox.hand_over(store, [lost])
    own(store)
    take(store, transaction_ms=-1)
    outbox.hand_over(store, [behind])

    assert outbox.overdue(store) == [ticket(lost)]
    assert outbox.send_again(store, [ticket(lost)]) == {ticket(lost): 1}
    assert outbox.send_again(store, [ticket(lost)]) == {}
    assert Taken(ticket(lost), lost, 1) in take(store, transaction_ms=-1)
    assert outbox.send_again(store, [ticket(lost)]) == {ticket(lost): 2}


def test_a_result_that_comes_after_all_ends_the_repetition(store: Store, make: Make) -> None:
    lost, behind = make.delivery(), make.delivery()
    outbox.hand_over(store, [lost, behind])
    own(store)
    take(store)
    outbox.send_again(store, [ticket(lost)])
    finish(store, lost)

    assert [one.delivery for one in take(store)] == [behind]
    finish(store, lost)  # and its result again: the one behind keeps the target
    assert outbox_views.whereabouts(store, behind) == "taken"
    finish(store, behind)
    assert outbox.depth(store).all == 0


def test_a_late_retry_verdict_does_not_double_a_delivery_that_was_made_ready_again(
    store: Store, make: Make
) -> None:
    lost = make.delivery()
    outbox.hand_over(store, [lost])
    own(store)
    take(store, transaction_ms=-1)
    outbox.send_again(store, [ticket(lost)])
    finish(store, lost, again_ms=1)

    assert outbox.depth(store) == Depth(1, 1, 0, 0, 0)
    assert [one.attempt for one in take(store, transaction_ms=-1)] == [1]


def test_a_try_put_off_frees_its_target_and_comes_back_as_the_next_attempt(store: Store, make: Make) -> None:
    failed, behind = make.delivery(), make.delivery()
    outbox.hand_over(store, [failed, behind])
    own(store)
    take(store)
    finish(store, failed, again_ms=clock.now_ms() + 3_600_000)

    assert outbox_views.whereabouts(store, failed) == "later"
    assert outbox.wake(store) == 0
    assert [one.delivery for one in take(store)] == [behind]
    later = keys.outbox(store.layout.ticket_shard(ticket(failed)), "later")
    store.db.zadd(later, {ticket(failed): clock.now_ms() - 1})
    assert outbox.wake(store) == 1
    assert outbox_views.whereabouts(store, failed) == "waiting"
    finish(store, behind)
    assert [(one.delivery, one.attempt) for one in take(store)] == [(failed, 2)]


@pytest.mark.parametrize("state", ["ready", "waiting", "later", "taken"])
def test_a_final_result_removes_a_delivery_wherever_it_is(store: Store, make: Make, state: str) -> None:
    first, second = make.delivery(), make.delivery()
    outbox.hand_over(store, [first, second])
    own(store)
    victim = second if state == "waiting" else first
    if state != "ready":
        take(store)
    if state == "later":
        finish(store, first, again_ms=clock.now_ms() + 3_600_000)
    assert outbox_views.whereabouts(store, victim) == state
    finish(store, victim)

    left = second if victim is first else first
    assert outbox_views.whereabouts(store, victim) == "nowhere"
    assert outbox.depth(store).all == 1
    if state != "waiting":
        take(store)
    assert outbox_views.whereabouts(store, left) == "taken"


def test_live_senders_are_counted_and_dead_ones_forgotten(store: Store) -> None:
    assert senders.sign_of_life(store, ONE, lease_ms=200) == 1
    assert senders.sign_of_life(store, OTHER, lease_ms=200) == 2
    wait_until(lambda: senders.sign_of_life(store, OTHER, lease_ms=200) == 1, 5, "the other's silence told")


def test_every_key_of_a_call_is_in_one_slot(store: Store, make: Make) -> None:
    """So Redis Cluster is only a URL away."""
    outbox.hand_over(store, [make.delivery(f"sip:{i}@home1.example") for i in range(50)])
    own(store)
    take(store)

    for name in store.db.scan_iter():
        assert b"{u" in name, name


def test_what_counts_as_lost_is_told_by_redis_clock_alone(
    store: Store, make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A node whose clock runs an hour ahead repeats nothing."""
    outbox.hand_over(store, [make.delivery()])
    own(store)
    (taken,) = take(store)
    monkeypatch.setattr(clock, "now_ms", lambda: 4_102_444_800_000)

    assert outbox.overdue(store) == []
    assert outbox.send_again(store, [taken.ticket]) == {}


def test_nothing_overtakes_what_is_put_off(store: Store, make: Make) -> None:
    first, second = make.delivery(), make.delivery()
    outbox.hand_over(store, [first, second])
    own(store)
    [taken] = take(store)

    outbox.put_off(store, [(taken.ticket, 0)])

    assert take(store) == []
    wait_until(lambda: outbox.wake(store) == 1, 5, "its time")
    assert [one.delivery for one in take(store)] == [first]
    finish(store, first)
    assert [one.delivery for one in take(store)] == [second]


def test_who_gives_way_comes_after_those_that_were_held_before_it(store: Store, make: Make) -> None:
    first, second, third = (make.delivery() for _ in range(3))
    outbox.hand_over(store, [first, second, third])
    own(store)
    again_ms = clock.now_ms() + 60_000
    for _ in range(2):
        [held] = take(store)
        outbox.hold(store, [Hold(held.ticket, again_ms)])
    [last] = take(store)

    assert outbox_views.held_before(store, [last.ticket, ticket(first)]) == [
        [ticket(first), ticket(second)],
        [],
    ]
    outbox.wake_targets(store, [first.aor])
    outbox.give_way(store, [last.ticket])

    for expected in (first, second, third):
        [taken] = take(store)
        assert (taken.delivery, taken.attempt) == (expected, 1)
        finish(store, expected)


def test_another_choice_is_no_try_and_remembers_what_was_told(store: Store, make: Make) -> None:
    delivery, behind = make.delivery(), make.delivery()
    outbox.hand_over(store, [delivery, behind])
    own(store)
    [taken] = take(store)
    told = Told("f" * 32, 200), Told("e" * 32, 500)

    for one in told:
        outbox.choose_again(store, [(taken.ticket, one)])
        [taken] = take(store)
    outbox.choose_again(store, [(taken.ticket, None), ("0" * 52 + ".0", None)])

    [taken] = take(store)
    assert (taken.delivery, taken.attempt, taken.told) == (delivery, 1, told)
    finish(store, delivery, again_ms=1)
    assert store.db.keys("told:*") == []


def test_what_is_put_off_comes_back_as_the_same_try(store: Store, make: Make) -> None:
    delivery = make.delivery()
    outbox.hand_over(store, [delivery])
    own(store)
    (taken,) = take(store)
    outbox.put_off(store, [(taken.ticket, 0)])

    assert outbox_views.whereabouts(store, delivery) == "later"
    assert outbox.wake(store) == 1
    assert take(store) == [Taken(ticket(delivery), delivery, 1)]


def test_what_expires_is_taken_once_and_what_is_in_flight_is_left(store: Store, make: Make) -> None:
    waiting, in_flight = make.delivery("sip:w@home1.example"), make.delivery("sip:f@home1.example")
    over = [delivery._replace(deliver_before_ms=1) for delivery in (waiting, in_flight)]
    outbox.hand_over(store, [over[1]])
    own(store)
    take(store)
    outbox.hand_over(store, [over[0]])

    assert outbox.expire(store, transaction_ms=60_000) == {ticket(over[0]): False}
    assert outbox.expire(store, transaction_ms=60_000) == {}
    finish(store, *over)
    assert take(store) == []
    assert outbox.depth(store) == Depth(0, 0, 0, 0, 0)
    assert store.db.keys("expiry:*") == []


def test_a_full_or_read_only_redis_is_unavailable_not_a_defect(store: Store, make: Make) -> None:
    outbox.hand_over(store, [make.delivery()])
    store.db.config_set("maxmemory", "1")
    try:
        with pytest.raises(StoreUnavailable, match="OutOfMemory"):
            outbox.hand_over(store, [make.delivery("sip:full@home1.example")])
    finally:
        store.db.config_set("maxmemory", "0")
    store.db.execute_command("REPLICAOF", "127.0.0.1", "1")  # type: ignore[no-untyped-call]
    try:
        with pytest.raises(StoreUnavailable, match="ReadOnly"):
            outbox.hand_over(store, [make.delivery("sip:replica@home1.example")])
    finally:
        store.db.execute_command("REPLICAOF", "NO", "ONE")  # type: ignore[no-untyped-call]
