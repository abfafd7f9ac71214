"""What a sender does with a delivery that it decided to hold, when the registration changes meanwhile."""

import holding
from holding import Held
from msgspec.structs import replace

from omapush import clock
from omapush.push.registration import Registration, Report
from omapush.push.values import Delivery, ticket
from omapush.store import keys, outbox, outbox_views, pushes, registrations
from omapush.store.client import Store
from omapush.store.pushes import Submission
from tests.store.conftest import Make
from tests.store.one_sender import ALICE, NEVER_MS, take

REPORT = Report(ALICE, 600, "sip:s", "", (), False, "register", (), "", "", clock.now_ms(), ())


def decided(store: Store, submission: Submission, record: Registration | None) -> tuple[Delivery, Held]:
    """A delivery at a sender, which found nobody to send to in `record`."""
    pushes.accept_all(store, [submission])
    delivery = pushes.delivery_of(submission.push, 0, submission.recipients[0], b"")
    outbox.hand_over(store, [delivery])
    assert len(take(store)) == 1
    return delivery, Held(ticket(delivery), delivery, record, clock.now_ms(), NEVER_MS, "nobody is there")


def told(store: Store, submission: Submission) -> list[str]:
    """What the push's event log says of holds."""
    known = pushes.read(store, submission.push.ref)
    assert known is not None
    return [event.text for event in known.events if event.name == "held"]


def test_a_hold_is_told_to_its_push_with_the_reason(store: Store, make: Make) -> None:
    submission = make.submission(ALICE)
    delivery, held = decided(store, submission, None)

    assert holding.store(store, [held]) == 1
    assert outbox_views.whereabouts(store, delivery) == "held"
    (text,) = told(store, submission)
    assert text.startswith("nobody is there; until devices or subscriptions change, looked at again at ")


def test_a_registration_that_came_while_it_was_decided_wakes_it(store: Store, make: Make) -> None:
    """Who stored it looked for held deliveries before there was one."""
    submission = make.submission(ALICE)
    delivery, held = decided(store, submission, None)
    assert registrations.capture(store, [REPORT]).devices == [ALICE]
    holding.wake(store, [ALICE])
    assert outbox_views.whereabouts(store, delivery) == "taken"

    holding.store(store, [held])
    assert outbox_views.whereabouts(store, delivery) == "ready"


def test_a_registration_that_stayed_as_it_was_does_not(store: Store, make: Make) -> None:
    registrations.capture(store, [REPORT])
    delivery, held = decided(store, make.submission(ALICE), registrations.read(store, ALICE))

    holding.store(store, [held])
    assert outbox_views.whereabouts(store, delivery) == "held"


def test_a_second_look_that_finds_the_same_adds_no_event(store: Store, make: Make) -> None:
    submission = make.submission(ALICE)
    _, held = decided(store, submission, None)
    holding.store(store, [held._replace(again_ms=0)])
    outbox.wake(store)
    take(store)

    assert holding.store(store, [held]) == 0
    assert len(told(store, submission)) == 1


def test_a_broken_record_counts_as_none_and_troubles_nobody_else(store: Store, make: Make) -> None:
    bob = "sip:bob@home1.example"
    store.db.set(keys.registration(store.layout.user_shard(ALICE), ALICE), b"\xff")
    broken, sound = decided(store, make.submission(ALICE), None), decided(store, make.submission(bob), None)
    registrations.capture(store, [replace(REPORT, aor=bob)])

    assert holding.store(store, [broken[1], sound[1]]) == 2
    assert outbox_views.whereabouts(store, broken[0]) == "held"
    assert outbox_views.whereabouts(store, sound[0]) == "ready"
