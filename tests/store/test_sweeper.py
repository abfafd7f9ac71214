"""What the sweeper finishes after a crash, against a real Redis."""

import pytest

from omapush import clock
from omapush.notifier.metrics import NotifierMetrics
from omapush.notifier.sweeper import MOST_REPEATS, Sweeper
from omapush.push.values import Delivery, Event, Result, ticket
from omapush.store import handing_over, outbox, outbox_views, pushes
from omapush.store.client import Store
from omapush.store.codec import BrokenRecord
from omapush.store.outbox import Owner, Told
from omapush.store.pushes import Stored, Submission
from tests.harness.stack import Stack
from tests.store.conftest import NOW_MS, Make

SENDER = Owner("node-1", "run-a", 0)


@pytest.fixture
def sweeper(redis_only: Stack, store: Store) -> Sweeper:
    return Sweeper(redis_only.config, store, NotifierMetrics())


def accepted(store: Store, submission: Submission) -> list[Delivery]:
    """Store a push as if it had been accepted a minute ago; returns its deliveries."""
    submission = submission._replace(push=submission.push._replace(accepted_ms=clock.now_ms() - 60_000))
    assert pushes.accept_all(store, [submission]) == [True]
    return list(pushes.open_deliveries(store, submission.push.ref))


def lose(store: Store) -> int:
    """Take what is ready in a process that dies at once; returns how much that was."""
    shards = range(store.layout.user_shards)
    outbox.claim(store, shards, SENDER, lease_ms=60_000, transaction_ms=1)
    taken = outbox.take(store, shards, SENDER, transaction_ms=-1, most=64)
    return sum(len(batch or ()) for batch in taken.values())


def events(store: Store, ref: str) -> list[str]:
    known = pushes.read(store, ref)
    assert known is not None
    return [event.name for event in known.events]


def test_a_push_whose_api_died_before_the_hand_over_is_handed_over(
    store: Store, sweeper: Sweeper, make: Make
) -> None:
    deliveries = accepted(store, make.submission("sip:a@home1.example", "sip:b@home1.example"))
    outbox.hand_over(store, deliveries[:1])  # it died half-way
    sweeper.sweep()
    sweeper.sweep()

    assert outbox.depth(store).all == 2
    assert pushes.not_handed_over(store, clock.now_ms()) == []
    assert events(store, deliveries[0].ref).count("handed-over") == 1


def test_what_breaks_in_one_step_keeps_the_others_from_nothing(
    store: Store, sweeper: Sweeper, make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One record that cannot be read would else keep every push that an api left behind."""

    def broken(*_: object, **__: object) -> None:
        raise BrokenRecord("no record")

    accepted(store, make.submission())
    monkeypatch.setattr(outbox, "expire", broken)
    with pytest.raises(BrokenRecord):
        sweeper.sweep()

    assert outbox.depth(store).all == 1


def test_a_push_that_a_defect_keeps_out_of_the_outbox_keeps_out_no_other(
    store: Store, sweeper: Sweeper, make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    bad = accepted(store, make.submission())[0].ref
    accepted(store, make.submission())
    hand_over = handing_over.left

    def broken(store: Store, ref: str, **how: int) -> None:
        if ref == bad:
            raise TypeError("a defect")
        hand_over(store, ref, **how)

    monkeypatch.setattr(handing_over, "left", broken)
    with pytest.raises(TypeError):
        sweeper.sweep()

    assert outbox.depth(store).all == 1
    assert pushes.not_handed_over(store, clock.now_ms()) == [bad]


def test_a_push_just_accepted_is_left_to_its_api(store: Store, sweeper: Sweeper, make: Make) -> None:
    one = make.submission()
    pushes.accept_all(store, [one._replace(push=one.push._replace(accepted_ms=clock.now_ms()))])
    sweeper.sweep()

    assert outbox.depth(store).all == 0
    assert pushes.not_handed_over(store, clock.now_ms()) == [one.push.ref]


def test_a_lost_delivery_is_sent_again_and_its_log_says_so(
    store: Store, sweeper: Sweeper, make: Make
) -> None:
    deliveries = accepted(store, make.submission())
    outbox.hand_over(store, deliveries)
    lose(store)
    sweeper.sweep()

    assert outbox_views.whereabouts(store, deliveries[0]) == "ready"
    assert "repeat" in events(store, deliveries[0].ref)


def test_a_delivery_whose_result_was_stored_before_the_crash_is_not_sent_again(
    store: Store, sweeper: Sweeper, make: Make
) -> None:
    (delivery,) = accepted(store, make.submission())
    outbox.hand_over(store, [delivery])
    lose(store)
    result = Result("delivered", "1000", "", "MESSAGE", 200, 1, NOW_MS)
    stored = Stored(delivery.ref, 0, result, True, Event(NOW_MS, 0, "final", ""))
    pushes.store_results(store, [stored], now_ms=NOW_MS, retention_s=60)
    sweeper.sweep()

    assert outbox.depth(store) == outbox.Depth(0, 0, 0, 0, 0)
    assert "repeat" not in events(store, delivery.ref)


def test_a_delivery_that_is_lost_again_and_again_is_given_up_and_its_target_is_free(
    store: Store, sweeper: Sweeper, make: Make
) -> None:
    """It may be what kills the process."""
    (poison,) = accepted(store, make.submission())
    (behind,) = accepted(store, make.submission())
    outbox.hand_over(store, [poison])
    outbox.hand_over(store, [behind])
    for _ in range(MOST_REPEATS + 1):
        assert outbox_views.whereabouts(store, poison) == "ready"
        assert lose(store) == 1
        sweeper.sweep()

    known = pushes.read(store, poison.ref)
    assert known is not None
    assert (known.results[0].state, known.results[0].code) == ("undeliverable", "3000")
    assert outbox_views.whereabouts(store, poison) == "nowhere"
    assert outbox_views.whereabouts(store, behind) == "ready"
    assert outbox.overdue(store) == []


def test_what_is_due_again_is_queued(store: Store, sweeper: Sweeper, make: Make) -> None:
    (delivery,) = accepted(store, make.submission())
    outbox.hand_over(store, [delivery])
    lose(store)
    outbox.complete(store, [outbox.Finished(ticket(delivery), clock.now_ms() - 1)])
    sweeper.sweep()

    assert outbox_views.whereabouts(store, delivery) == "ready"


@pytest.mark.parametrize(("codes", "state"), [((200, 500), "delivered"), ((500, 503), "expired")])
def test_what_one_of_several_subscriptions_took_is_delivered_though_its_time_is_over(
    store: Store, sweeper: Sweeper, make: Make, codes: tuple[int, int], state: str
) -> None:
    """Deliver-before passes between two subscriptions of the user."""
    submission = make.submission("sip:a@home1.example")
    over = submission.push._replace(deliver_before_ms=clock.now_ms() - 1)
    [delivery] = accepted(store, submission._replace(push=over))
    outbox.hand_over(store, [delivery])
    shards = range(store.layout.user_shards)
    outbox.claim(store, shards, SENDER, lease_ms=60_000, transaction_ms=40_000)
    for number, code in enumerate(codes):
        outbox.take(store, shards, SENDER, transaction_ms=40_000, most=64)
        outbox.choose_again(store, [(ticket(delivery), Told(f"{number:032x}", code))])

    sweeper.sweep()

    result = pushes.result_of(store, delivery.ref, 0)
    assert result is not None
    assert result.state == state
    assert outbox.depth(store).all == 0
    assert store.db.keys("told:*") == []
