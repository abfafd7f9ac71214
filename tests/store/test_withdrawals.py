"""Taking pushes back and replacing them: wherever they wait, whoever was faster, and after a crash."""

from collections.abc import Callable
from dataclasses import dataclass

import pytest

from omapush import clock
from omapush.push import replacing
from omapush.push.outcome import Outcome
from omapush.push.values import Delivery, Result, ticket
from omapush.store import (
    cancelling,
    finish,
    handing_over,
    keys,
    outbox,
    outbox_views,
    owed,
    pushes,
    withdrawals,
)
from omapush.store.client import Store
from omapush.store.finish import Ended
from omapush.store.outbox import Hold, Owner, Taken
from omapush.store.pushes import Submission
from tests.store.conftest import Make

ALICE, BOB, CAROL = (f"sip:{name}@home1.example" for name in ("alice", "bob", "carol"))
OWNER = Owner("node-1", "run-a", 0)
SHARDS = range(4)
KEEP_S = 100
DELIVERED = Outcome(None, "delivered", "1000", "delivered (200 OK)")


@dataclass
class World:
    """One installation in a few words."""

    store: Store
    make: Make

    def __post_init__(self) -> None:
        outbox.claim(self.store, SHARDS, OWNER, lease_ms=60_000, transaction_ms=40_000)

    def submit(
        self,
        *aors: str,
        replaces: str = "",
        replace_all: bool = True,
        hand_over: bool = True,
        after_ms: int = 0,
    ) -> Submission:
        one = self.make.submission(*aors)
        push = one.push._replace(
            deliver_before_ms=clock.now_ms() + 600_000,
            deliver_after_ms=after_ms,
            order_us=clock.now_ms() * 1000,
            replaces=replaces,
            replace_all=replace_all,
        )
        one = one._replace(push=push)
        assert pushes.accept_all(self.store, [one]) == [True]
        if hand_over:
            self.hand_over(one)
        return one

    def hand_over(self, one: Submission) -> None:
        handing_over.fresh(self.store, [one], now_ms=clock.now_ms(), retention_s=KEEP_S)

    def take(self) -> list[Taken]:
        found = outbox.take(self.store, SHARDS, OWNER, transaction_ms=40_000, most=64)
        return [one for batch in found.values() for one in batch or () if isinstance(one, Taken)]

    def end(self, one: Taken, outcome: Outcome = DELIVERED, sip_code: int = 200) -> None:
        ended = Ended(one.ticket, outcome, "MESSAGE", sip_code, one.attempt, clock.now_ms(), "said")
        finish.store(self.store, [ended], retention_s=KEEP_S)

    def cancel(self, one: Submission, *indexes: int) -> dict[int, bool]:
        known = pushes.read(self.store, one.push.ref)
        assert known is not None
        return cancelling.cancel(
            self.store,
            known,
            indexes or range(len(one.recipients)),
            now_ms=clock.now_ms(),
            retention_s=KEEP_S,
        )

    def repair(self) -> None:
        cancelling.repair(self.store, now_ms=clock.now_ms(), retention_s=KEEP_S)

    def results(self, one: Submission) -> list[Result]:
        known = pushes.read(self.store, one.push.ref)
        assert known is not None
        return list(known.results)

    def states(self, one: Submission) -> list[tuple[str, str]]:
        return [(result.state, result.code) for result in self.results(one)]

    def delivery(self, one: Submission, index: int = 0) -> Delivery:
        return pushes.delivery_of(one.push, index, one.recipients[index], one.content)

    def deliver_all(self) -> list[str]:
        """Which pushes are sent from now on, each with its user."""
        sent: list[str] = []
        while taken := self.take():
            for one in taken:
                sent.append(f"{one.delivery.push_id} {one.delivery.aor}")
                self.end(one)
        return sent


@pytest.fixture
def world(store: Store, make: Make) -> World:
    return World(store, make)


def ready(world: World) -> Submission:
    return world.submit(ALICE)


def waiting(world: World) -> Submission:
    world.submit(ALICE)
    return world.submit(ALICE)


def scheduled(world: World) -> Submission:
    return world.submit(ALICE, after_ms=clock.now_ms() + 60_000)


def to_be_tried_again(world: World) -> Submission:
    one = world.submit(ALICE)
    (taken,) = world.take()
    world.end(taken, Outcome(clock.now_ms() + 60_000, "pending", "1001", "busy"), 486)
    return one


def held(world: World) -> Submission:
    one = world.submit(ALICE)
    (taken,) = world.take()
    outbox.hold(world.store, [Hold(taken.ticket, clock.now_ms() + 60_000)])
    return one


def put_off(world: World) -> Submission:
    one = world.submit(ALICE)
    (taken,) = world.take()
    outbox.put_off(world.store, [(taken.ticket, 60_000)])
    return one


def not_handed_over(world: World) -> Submission:
    return world.submit(ALICE, hand_over=False)


PLACES: list[Callable[[World], Submission]] = [
    ready,
    waiting,
    scheduled,
    to_be_tried_again,
    held,
    put_off,
    not_handed_over,
]
EVERYWHERE = pytest.mark.parametrize("place", PLACES, ids=lambda place: place.__name__)


@EVERYWHERE
def test_a_push_that_waits_anywhere_is_cancelled_and_never_sent(
    world: World, place: Callable[[World], Submission]
) -> None:
    one = place(world)
    assert world.cancel(one) == {0: True}
    assert world.states(one) == [("cancelled", "1000")]

    world.hand_over(one)
    handing_over.left(world.store, one.push.ref, now_ms=clock.now_ms(), retention_s=KEEP_S)
    outbox.wake_targets(world.store, [ALICE])
    assert all(one.push.push_id not in sent for sent in world.deliver_all())
    assert outbox.depth(world.store).all == 0
    assert outbox_views.whereabouts(world.store, world.delivery(one)) == "nowhere"
    assert withdrawals.untold(world.store) == {}


@EVERYWHERE
def test_the_next_push_to_the_same_user_is_not_held_up_by_a_cancel(
    world: World, place: Callable[[World], Submission]
) -> None:
    one = place(world)
    after = world.submit(ALICE)
    world.cancel(one)
    assert f"{after.push.push_id} {ALICE}" in world.deliver_all()
    assert world.store.db.keys("busy:*") == []


@EVERYWHERE
def test_a_cancel_that_died_half_way_is_finished_by_the_sweeper(
    world: World, place: Callable[[World], Submission]
) -> None:
    one = place(world)
    withdrawals.cancel(world.store, [ticket(world.delivery(one))], replacing.CANCELLED)
    world.repair()
    world.hand_over(one)
    assert world.states(one) == [("cancelled", "1000")]
    assert world.deliver_all() == [] or place is waiting
    assert withdrawals.untold(world.store) == {}


def test_cancelling_again_gives_the_same_answer(world: World) -> None:
    one = world.submit(ALICE, BOB)
    assert world.cancel(one, 0) == {0: True}
    assert world.cancel(one) == {0: True, 1: True}
    assert world.cancel(one) == {0: True, 1: True}


def test_a_push_that_has_its_result_is_too_late_to_cancel(world: World) -> None:
    one = world.submit(ALICE)
    world.deliver_all()
    assert world.cancel(one) == {0: False}
    assert world.states(one) == [("delivered", "1000")]


def test_what_is_at_a_sender_is_too_late_and_keeps_the_answer_that_it_gets(world: World) -> None:
    one = world.submit(ALICE)
    (taken,) = world.take()
    assert world.cancel(one) == {0: False}
    world.repair()
    world.end(taken)
    assert world.states(one) == [("delivered", "1000")]
    world.repair()
    assert withdrawals.stopped(world.store) == []


@pytest.mark.parametrize("back", ["retry", "lost", "chosen again", "given way", "held"])
def test_what_was_cancelled_at_a_sender_is_not_tried_again(world: World, back: str) -> None:
    one = world.submit(ALICE)
    (taken,) = world.take()
    assert world.cancel(one) == {0: False}
    match back:
        case "retry":
            world.end(taken, Outcome(clock.now_ms(), "pending", "1001", "busy"), 486)
        case "lost":
            number = world.store.layout.ticket_shard(taken.ticket)
            world.store.db.zadd(keys.outbox(number, "taken"), {taken.ticket: 1})
            outbox.send_again(world.store, outbox.overdue(world.store))
        case "chosen again":
            outbox.choose_again(world.store, [(taken.ticket, None)])
        case "given way":
            outbox.give_way(world.store, [taken.ticket])
        case _:
            outbox.hold(world.store, [Hold(taken.ticket, clock.now_ms())])

    assert world.take() == []
    outbox.wake(world.store)
    assert world.take() == []
    world.repair()
    assert world.states(one) == [("cancelled", "1000")]
    outbox.wake(world.store)
    assert world.take() == []
    assert outbox.depth(world.store).all == 0


def test_what_a_relay_has_cannot_be_taken_back(world: World) -> None:
    one = world.submit(ALICE)
    (taken,) = world.take()
    world.end(taken, Outcome(clock.now_ms() + 60_000, "pending", "1001", "stored by a relay"), 202)
    assert world.cancel(one) == {0: False}
    assert world.states(one) == [("pending", "1001")]


def test_what_a_relay_took_after_the_cancel_stays_open(world: World) -> None:
    one = world.submit(ALICE)
    (taken,) = world.take()
    assert world.cancel(one) == {0: False}
    world.end(taken, Outcome(clock.now_ms() + 60_000, "pending", "1001", "stored by a relay"), 202)
    world.repair()
    assert world.states(one) == [("pending", "1001")]
    assert withdrawals.stopped(world.store) == []


def test_each_recipient_is_cancelled_by_itself(world: World) -> None:
    one = world.submit(ALICE, BOB, CAROL)
    assert world.cancel(one, 1) == {1: True}
    assert world.states(one) == [("pending", "1001"), ("cancelled", "1000"), ("pending", "1001")]
    assert sorted(world.deliver_all()) == [f"{one.push.push_id} {ALICE}", f"{one.push.push_id} {CAROL}"]


def test_a_cancelled_recipient_is_notified_once(world: World) -> None:
    one = world.submit(ALICE)
    world.cancel(one)
    world.cancel(one)
    world.repair()
    assert owed.count(world.store) == 1


# Replacing ---------------------------------------------------------------------------------------

BOTH = pytest.mark.parametrize("for_all", [True, False], ids=["all", "pending-only"])


@BOTH
@EVERYWHERE
def test_what_waits_anywhere_is_replaced(
    world: World, place: Callable[[World], Submission], for_all: bool
) -> None:
    old = place(world)
    new = world.submit(ALICE, replaces=old.push.ref, replace_all=for_all)
    world.hand_over(new)
    world.hand_over(old)
    sent = world.deliver_all()
    assert f"{new.push.push_id} {ALICE}" in sent
    assert f"{old.push.push_id} {ALICE}" not in sent
    assert world.states(old) == [("cancelled", "1000")]
    assert world.states(new) == [("delivered", "1000")]
    assert new.push.push_id in world.results(old)[0].desc
    assert outbox.depth(world.store).all == 0


@pytest.mark.parametrize(
    ("for_all", "state"), [(True, ("delivered", "1000")), (False, ("cancelled", "2008"))]
)
def test_who_got_the_old_push_gets_the_new_one_only_when_it_is_for_all(
    world: World, for_all: bool, state: tuple[str, str]
) -> None:
    old = world.submit(ALICE)
    world.deliver_all()
    new = world.submit(ALICE, replaces=old.push.ref, replace_all=for_all)
    assert len(world.deliver_all()) == for_all
    assert world.states(old) == [("delivered", "1000")]
    assert world.states(new) == [state]


def test_what_is_at_a_sender_goes_on_and_a_replacement_of_what_waits_is_told_so(world: World) -> None:
    old = world.submit(ALICE)
    (taken,) = world.take()
    new = world.submit(ALICE, replaces=old.push.ref, replace_all=False)
    assert world.states(new) == [("cancelled", "2008")]
    assert "is being sent" in world.results(new)[0].desc
    world.end(taken, Outcome(clock.now_ms(), "pending", "1001", "busy"), 486)
    world.repair()
    outbox.wake(world.store)
    assert world.deliver_all() == [f"{old.push.push_id} {ALICE}"]


def test_what_is_at_a_sender_is_not_tried_again_when_the_new_push_is_for_all(world: World) -> None:
    old = world.submit(ALICE)
    (taken,) = world.take()
    new = world.submit(ALICE, replaces=old.push.ref)
    assert world.take() == []
    world.end(taken, Outcome(clock.now_ms(), "pending", "1001", "busy"), 486)
    outbox.wake(world.store)
    world.repair()
    assert world.deliver_all() == [f"{new.push.push_id} {ALICE}"]
    assert world.states(old) == [("cancelled", "1000")]


def test_a_replacement_is_for_its_own_recipients_only(world: World) -> None:
    old = world.submit(ALICE, BOB)
    new = world.submit(BOB, CAROL, replaces=old.push.ref)
    sent = world.deliver_all()
    assert sorted(sent) == sorted(
        [f"{old.push.push_id} {ALICE}", f"{new.push.push_id} {BOB}", f"{new.push.push_id} {CAROL}"]
    )
    assert world.states(old) == [("delivered", "1000"), ("cancelled", "1000")]


@BOTH
@EVERYWHERE
def test_a_replacement_whose_process_died_is_carried_out_by_the_sweeper(
    world: World, place: Callable[[World], Submission], for_all: bool
) -> None:
    old = place(world)
    new = world.submit(ALICE, replaces=old.push.ref, replace_all=for_all, hand_over=False)
    for ref in (new.push.ref, old.push.ref, new.push.ref):
        handing_over.left(world.store, ref, now_ms=clock.now_ms(), retention_s=KEEP_S)
    sent = world.deliver_all()
    assert f"{new.push.push_id} {ALICE}" in sent
    assert f"{old.push.push_id} {ALICE}" not in sent
    assert world.states(old) == [("cancelled", "1000")]


@BOTH
def test_a_replacement_that_died_between_the_slots_is_finished(world: World, for_all: bool) -> None:
    old = world.submit(ALICE)
    new = world.submit(ALICE, replaces=old.push.ref, replace_all=for_all, hand_over=False)
    row = withdrawals.Replacement(ticket(world.delivery(old)), world.delivery(new))
    why = replacing.replaced_by(new.push)
    found = withdrawals.replace(world.store, [row], for_all=for_all, why=why)
    assert found == [withdrawals.Found.WAITING]

    world.repair()
    handing_over.left(world.store, new.push.ref, now_ms=clock.now_ms(), retention_s=KEEP_S)
    assert world.states(old) == [("cancelled", "1000")]
    assert world.deliver_all() == [f"{new.push.push_id} {ALICE}"]


@BOTH
def test_a_row_of_replacements_leaves_the_last(world: World, for_all: bool) -> None:
    pushed = [world.submit(ALICE, hand_over=False)]
    for _ in range(5):
        pushed.append(world.submit(ALICE, replaces=pushed[-1].push.ref, replace_all=for_all, hand_over=False))
    for one in reversed(pushed):
        world.hand_over(one)
    assert world.deliver_all() == [f"{pushed[-1].push.push_id} {ALICE}"]
    assert [world.states(one)[0][0] for one in pushed] == ["cancelled"] * 5 + ["delivered"]


def test_a_replacement_that_is_cancelled_before_it_was_carried_out_still_replaces(world: World) -> None:
    old = world.submit(ALICE)
    new = world.submit(ALICE, replaces=old.push.ref, hand_over=False)
    assert world.cancel(new) == {0: True}
    handing_over.left(world.store, new.push.ref, now_ms=clock.now_ms(), retention_s=KEEP_S)
    assert world.deliver_all() == []
    assert [world.states(one) for one in (old, new)] == [[("cancelled", "1000")]] * 2


@pytest.mark.parametrize(("for_all", "goes_on"), [(True, False), (False, True)], ids=["all", "pending-only"])
def test_what_is_at_a_sender_outlives_a_pending_only_replacement_that_was_cancelled(
    world: World, for_all: bool, goes_on: bool
) -> None:
    old = world.submit(ALICE)
    (taken,) = world.take()
    new = world.submit(ALICE, replaces=old.push.ref, replace_all=for_all, hand_over=False)
    assert world.cancel(new) == {0: True}
    handing_over.left(world.store, new.push.ref, now_ms=clock.now_ms(), retention_s=KEEP_S)
    world.end(taken, Outcome(clock.now_ms(), "pending", "1001", "busy"), 486)
    world.repair()
    outbox.wake(world.store)
    assert world.deliver_all() == ([f"{old.push.push_id} {ALICE}"] if goes_on else [])
    assert world.states(old) == [("delivered", "1000") if goes_on else ("cancelled", "1000")]
