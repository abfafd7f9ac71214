"""What all nodes together accepted and brought to an end is counted once, in the calls that store it."""

from omapush.push.fan_out import Progress
from omapush.push.values import Event, Result, State
from omapush.store import fanouts, pushes, totals
from omapush.store.client import Store
from omapush.store.fanouts import Job
from omapush.store.pushes import Stored
from tests.store.conftest import NOW_MS, Make


def end(store: Store, ref: str, *states: State) -> None:
    results = [Result(state, "1000", "said", "MESSAGE", 200, 1, NOW_MS) for state in states]
    stored = [
        Stored(ref, index, result, result.state != "pending", Event(NOW_MS, index, "final", ""))
        for index, result in enumerate(results)
    ]
    pushes.store_results(store, stored, now_ms=NOW_MS, retention_s=100)


def test_nothing_was_counted_in_an_empty_redis(store: Store) -> None:
    assert totals.read(store) == totals.Totals(0, {})


def test_recipients_count_as_accepted_and_then_by_how_they_ended(store: Store, make: Make) -> None:
    two, one = make.submission("sip:a@home1.example", "sip:b@home1.example"), make.submission()
    pushes.accept_all(store, [two, one])
    end(store, two.push.ref, "delivered", "undeliverable")
    end(store, one.push.ref, "pending")

    assert totals.read(store) == totals.Totals(3, {"delivered": 1, "undeliverable": 1})


def test_a_repeat_counts_nothing(store: Store, make: Make) -> None:
    one = make.submission(push_id="same")
    pushes.accept_all(store, [one])
    pushes.accept_all(store, [one])
    end(store, one.push.ref, "delivered")
    end(store, one.push.ref, "expired")

    assert totals.read(store) == totals.Totals(1, {"delivered": 1})


def test_recipients_that_were_final_at_once_are_accepted_and_ended(store: Store, make: Make) -> None:
    one = make.submission("", "sip:b@home1.example")
    wrong = Result("undeliverable", "2002", "no address", "", 0, 0, NOW_MS)
    pushes.accept_all(store, [one._replace(results=(wrong, one.results[1]))])

    assert totals.read(store) == totals.Totals(2, {"undeliverable": 1})


def test_a_push_with_many_recipients_counts_the_same(store: Store, make: Make) -> None:
    many = make.submission(*(f"sip:u{number}@home1.example" for number in range(501)))
    assert pushes.accept_large(store, many)
    end(store, many.push.ref, "delivered")

    assert totals.read(store) == totals.Totals(501, {"delivered": 1})


def test_deliveries_to_subscribers_count_as_accepted_when_their_shard_has_made_them_all(
    store: Store, make: Make
) -> None:
    one = make.submission()
    push = one.push._replace(subscribers=("*",))
    pushes.accept_all(store, [one._replace(push=push, recipients=(), results=())])
    end(store, push.ref, "delivered")
    for _ in range(2):
        fanouts.close(store, Job(0, push.ref, Progress("running", 7, "~"), 0, 0), retention_s=100)

    assert totals.read(store) == totals.Totals(7, {"delivered": 1})
