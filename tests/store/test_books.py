"""The books balance while all is well, and name what is missing or too many when something is not."""

import json
from collections.abc import Callable, Sequence

import pytest
from typer.testing import CliRunner, Result

from omapush.cli import books as command
from omapush.cli.main import app
from omapush.push.books import MOST_SHOWN, Books, PushBalance, Sum, Wrong
from omapush.push.fan_out import Page, Progress
from omapush.push.outcome import Outcome
from omapush.push.values import Delivery, ticket
from omapush.store import books, fanouts, fetches, finish, keys, outbox, pushes, withdrawals
from omapush.store.client import Store
from omapush.store.finish import Ended
from omapush.store.outbox import Finished, Owner
from omapush.store.pushes import Submission
from tests.harness.stack import Stack
from tests.store.conftest import NOW_MS, Make

OWNER = Owner("node", "run", 0)
EVER = {"from_ms": 0, "to_ms": 2 * NOW_MS}


def balance(
    store: Store, rest: Callable[[], None] = lambda: None, *, from_ms: int = 0, to_ms: int = 2 * NOW_MS
) -> Books:
    return books.balance(store, from_ms=from_ms, to_ms=to_ms, forgotten_before_ms=lambda: 0, rest=rest)


def accept(store: Store, *submissions: Submission, hand_over: bool = True) -> list[Delivery]:
    """Store pushes and hand them over; returns their deliveries."""
    pushes.accept_all(store, submissions)
    deliveries = [
        pushes.delivery_of(one.push, index, recipient, one.content)
        for one in submissions
        for index, recipient in enumerate(one.recipients)
    ]
    if hand_over:
        outbox.hand_over(store, deliveries)
        pushes.handed_over(store, [one.push.ref for one in submissions])
    return deliveries


def end(store: Store, deliveries: Sequence[Delivery], state: str = "delivered") -> None:
    verdict = Outcome(None, state, "1000", "OK")  # type: ignore[arg-type]
    ended = [Ended(ticket(one), verdict, "MESSAGE", 200, 1, NOW_MS, "") for one in deliveries]
    finish.store(store, ended, retention_s=60)


def total(found: Books) -> tuple[int, int, int, int]:
    return found.accepted, found.final, found.waiting, found.wrong


def texts(found: Books) -> list[str]:
    return [one.text for one in found.shown]


def users(number: int) -> list[str]:
    return [f"sip:u{index}@home1.example" for index in range(number)]


def test_an_empty_redis_balances(store: Store) -> None:
    found = balance(store)

    assert found.balance
    assert found == Books(0, 0, 0, 0, {}, 0, 0, ())


def test_every_place_where_a_delivery_waits_is_a_place(store: Store, make: Make) -> None:
    accept(store, make.submission(*users(8)))
    outbox.claim(store, range(4), OWNER, lease_ms=60_000, transaction_ms=40_000)
    taken = [
        one
        for found in outbox.take(store, range(4), OWNER, transaction_ms=40_000, most=64).values()
        for one in found or ()
    ]
    tickets = [one.ticket for one in taken]
    outbox.complete(store, [Finished(tickets[0], 2 * NOW_MS)])  # is tried again
    outbox.hold(store, [outbox.Hold(tickets[1], 2 * NOW_MS)])
    outbox.put_off(store, [(tickets[2], 10_000)])
    accept(store, make.submission("sip:u3@home1.example"))  # behind one that is taken
    accept(store, make.submission("sip:left@home1.example"), hand_over=False)  # for the sweeper
    taken_back = accept(store, make.submission("sip:back@home1.example"))
    withdrawals.cancel(store, [ticket(one) for one in taken_back], "cancelled")

    found = balance(store)

    assert total(found) == (11, 0, 11, 0), texts(found)
    assert (found.balance, found.pushes, found.outbox) == (True, 4, 9)


def test_results_are_final_by_their_states(store: Store, make: Make) -> None:
    deliveries = accept(store, make.submission(*users(5)), make.submission(*users(2)))
    end(store, deliveries[:3])
    end(store, deliveries[3:4], "expired")

    found = balance(store)

    assert total(found) == (7, 4, 3, 0)
    assert found.by_state == {"delivered": 3, "expired": 1}


def test_a_link_that_is_waited_for_waits(store: Store, make: Make) -> None:
    submission = make.submission()
    (delivery,) = accept(store, submission)
    pending = submission.results[0]
    fetches.wait_for(store, [fetches.Awaited(delivery.ref, 0, pending, submission.event, 2 * NOW_MS)])
    outbox.complete(store, [Finished(ticket(delivery), 0)])

    assert total(balance(store)) == (1, 0, 1, 0)


def test_a_delivery_that_is_nowhere_is_named(store: Store, make: Make) -> None:
    delivery, _ = accept(store, make.submission(*users(2)))
    outbox.complete(store, [Finished(ticket(delivery), 0)])

    found = balance(store)

    assert not found.balance
    assert total(found) == (2, 0, 1, 1)
    assert found.shown == (Wrong(delivery.ref, 0, "not final, and waits nowhere"),)


def test_a_push_that_is_gone_before_its_time_is_named_and_a_forgotten_one_is_not(
    store: Store, make: Make
) -> None:
    submission = make.submission()
    accept(store, submission)
    ref = submission.push.ref
    store.db.delete(keys.push(store.layout.push_shard(ref), ref))

    found = balance(store)
    assert texts(found) == [
        "accepted, and not there any more",
        "in the outbox, and its push is not there",
    ]
    after = submission.push.accepted_ms + 1
    store.db.delete(*(keys.outbox(number, "expiry") for number in range(4)))
    assert books.balance(store, **EVER, forgotten_before_ms=lambda: after, rest=lambda: None).balance


def test_what_is_forgotten_while_the_books_are_read_is_not_missed(store: Store, make: Make) -> None:
    submission = make.submission()
    (delivery,) = accept(store, submission)
    end(store, [delivery])
    ref = submission.push.ref
    began_ms = submission.push.accepted_ms
    moments = iter((began_ms, began_ms + 1))

    def moment() -> int:
        return next(moments)

    moment()  # the push may not be gone when it begins, and is when it is looked at
    store.db.delete(keys.push(store.layout.push_shard(ref), ref))

    assert books.balance(store, **EVER, forgotten_before_ms=moment, rest=lambda: None).balance


def test_a_final_result_with_a_delivery_that_would_still_be_sent_is_named(store: Store, make: Make) -> None:
    (delivery,) = accept(store, make.submission())
    end(store, [delivery])
    outbox.hand_over(store, [delivery])

    found = balance(store)
    assert texts(found) == ["in the outbox, and its result is final"]
    assert not found.balance  # though what was accepted is final or waits


@pytest.mark.parametrize("lost", ["ready", "delivery"])
def test_a_delivery_that_nobody_will_take_is_named(store: Store, make: Make, lost: str) -> None:
    (delivery,) = accept(store, make.submission())
    store.db.delete(keys.outbox(store.layout.ticket_shard(ticket(delivery)), lost))

    assert "in the outbox, and nobody will take it" in texts(balance(store))


def test_a_push_that_contradicts_itself_is_named(store: Store, make: Make) -> None:
    submission = make.submission(*users(2))
    accept(store, submission)
    key = keys.push(store.layout.push_shard(submission.push.ref), submission.push.ref)
    store.db.hset(key, mapping={"f0": 1, "open": 5})

    assert texts(balance(store))[:2] == [
        "pending, and final",
        "1 without a final result, it counts 5",
    ]


def test_a_broken_record_is_named_and_the_others_are_counted(store: Store, make: Make) -> None:
    submission = make.submission()
    accept(store, submission, make.submission())
    store.db.hset(
        keys.push(store.layout.push_shard(submission.push.ref), submission.push.ref), "record", b"\xc1"
    )

    found = balance(store)

    assert (found.accepted, found.wrong) == (1, 1)
    assert texts(found)[0].startswith("Push: ")


def test_what_is_on_its_way_is_looked_at_again(store: Store, make: Make) -> None:
    """The result is stored before the delivery leaves the outbox; a look may come in between."""
    (delivery,) = accept(store, make.submission())
    outbox.complete(store, [Finished(ticket(delivery), 0)])
    rested: list[int] = []

    def rest() -> None:
        rested.append(1)
        if len(rested) == 2:
            end(store, [delivery])

    assert total(balance(store, rest)) == (1, 1, 0, 0)
    assert len(rested) == 2


def test_only_pushes_of_the_time_are_in_the_books(store: Store, make: Make) -> None:
    for number in range(10):
        one = make.submission()
        accept(store, one._replace(push=one.push._replace(accepted_ms=NOW_MS + number)))

    assert balance(store, from_ms=NOW_MS + 2, to_ms=NOW_MS + 5).accepted == 3


def test_no_push_is_counted_twice_or_left_out_where_many_have_one_time(store: Store, make: Make) -> None:
    """More of one list, and of one millisecond, than are read in one go."""
    submissions = [make.submission() for _ in range(2_500)]
    late = [
        one._replace(push=one.push._replace(accepted_ms=NOW_MS + place // 5))
        for place, one in enumerate(submissions[:1_000])
    ]
    for first in range(0, 1_000, 250):
        accept(store, *late[first : first + 250])
    for first in range(1_000, 2_500, 250):
        accept(store, *submissions[first : first + 250])

    assert total(balance(store)) == (2_500, 0, 2_500, 0)


def test_a_push_to_subscribers_balances_by_its_numbers(store: Store, make: Make) -> None:
    submission = make.submission()
    fan = submission._replace(push=submission.push._replace(subscribers=("*",)), recipients=(), results=())
    pushes.accept_all(store, [fan])
    pushes.handed_over(store, [fan.push.ref])
    fanouts.register(store, [(pushes.fan_out_of(fan.push, b"abc"), "running")])
    assert total(balance(store)) == (0, 0, 0, 0)

    deliveries = []
    for job in fanouts.jobs(store, range(4)):
        aor = next(aor for aor in users(100) if store.layout.user_shard(aor) == job.shard)
        made = make.delivery(aor)._replace(ref=fan.push.ref, recipient=job.shard)
        deliveries.append(made)
        fanouts.expand(store, job, Page((made,), Progress("running", 1, "cursor")))
    assert len(deliveries) == 4
    assert total(balance(store)) == (len(deliveries), 0, len(deliveries), 0)

    end(store, deliveries[:1])
    assert total(balance(store)) == (len(deliveries), 1, len(deliveries) - 1, 0)


def test_what_does_not_balance_is_named_up_to_a_bound_and_counted_beyond() -> None:
    total_of = Sum()
    for number in range(MOST_SHOWN + 5):
        total_of.add(PushBalance(str(number), 1, {}, 0, (Wrong(str(number), 0, "lost"),)))

    found = total_of.books(0)
    assert (found.wrong, len(found.shown), found.balance) == (MOST_SHOWN + 5, MOST_SHOWN, False)


def test_the_command_says_what_is_wrong_and_ends_with_1(
    redis_only: Stack, store: Store, make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(command, "_REST_S", 0.0)

    def omapush(*words: str) -> Result:
        return CliRunner().invoke(app, ["--config", str(redis_only.config_file), "books", *words])

    (delivery,) = accept(store, make.submission())
    fine = omapush("--from", "2020-01-01", "--json")
    assert (fine.exit_code, json.loads(fine.stdout)["waiting"]) == (0, 1)

    outbox.complete(store, [Finished(ticket(delivery), 0)])
    assert omapush("--to", "2020-01-01").exit_code == 0
    wrong = omapush()
    assert (wrong.exit_code, delivery.ref in wrong.stdout) == (1, True)
    assert "not final, and waits nowhere" in wrong.stdout
    assert omapush("--from", "yesterday").exit_code == 2
