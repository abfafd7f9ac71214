"""Pushes with many recipients in Redis: staged in pages, one push in one step, read page by page."""

from __future__ import annotations

from collections import Counter

import pytest

from omapush.push.values import Event, Result
from omapush.store import client, keys, outbox, owed, push_pages, pushes
from omapush.store.client import Call, Store, call
from omapush.store.pushes import Stored, Submission
from tests.store.conftest import NOW_MS, Make

MANY = 2 * push_pages.PAGE + 7
WRONG = Result("undeliverable", "2002", "no address", "", 0, 0, NOW_MS)


def many(make: Make, *, wrong: tuple[int, ...] = (), push_id: str = "") -> Submission:
    one = make.submission(*(f"sip:{number}@home1.example" for number in range(MANY)), push_id=push_id)
    results = tuple(WRONG if index in wrong else result for index, result in enumerate(one.results))
    return one._replace(results=results)


def staged_keys(store: Store) -> list[bytes]:
    return list(store.db.scan_iter(match="staged:*"))


def test_a_push_with_many_recipients_is_read_back_as_it_was_accepted(store: Store, make: Make) -> None:
    one = many(make)

    assert pushes.accept_large(store, one)

    found = pushes.read(store, one.push.ref)
    assert found is not None
    assert (found.push, found.recipients, found.results) == (one.push, one.recipients, one.results)
    assert (found.events, found.by_state) == ((one.event,), {"pending": MANY})
    assert staged_keys(store) == []
    assert store.db.ttl(keys.push(store.layout.push_shard(one.push.ref), one.push.ref)) == -1


def test_its_push_id_is_taken_as_that_of_any_other(store: Store, make: Make) -> None:
    small, large = make.submission(push_id="one"), many(make, push_id="one")

    assert pushes.accept_all(store, [small]) == [True]
    assert not pushes.accept_large(store, large)

    found = pushes.read(store, small.push.ref)
    assert found is not None
    assert found.recipients == small.recipients
    assert staged_keys(store) == []


def test_what_a_dead_process_staged_is_no_push_and_goes_by_itself(store: Store, make: Make) -> None:
    one = many(make)

    push_pages.stage(store, one.push.ref, one.recipients, one.results)

    (left,) = staged_keys(store)
    assert 0 < int(store.db.ttl(left)) <= 60
    assert pushes.read(store, one.push.ref) is None
    assert pushes.not_handed_over(store, NOW_MS) == []
    assert pushes.accept_large(store, one)


def test_pages_that_ran_out_before_the_last_step_make_no_push(
    store: Store, make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = many(make)

    def ran_out(store: Store, call_: Call, **_: bool) -> int:
        store.db.delete(*staged_keys(store))
        return int(call(store, call_))

    monkeypatch.setattr(pushes, "call", ran_out)
    assert pushes.accept_large(store, one) is None
    assert pushes.read(store, one.push.ref) is None


def test_recipients_that_are_final_at_once_are_owed_once_each(store: Store, make: Make) -> None:
    wrong = (0, push_pages.PAGE, MANY - 1)
    one = many(make, wrong=wrong)
    assert pushes.accept_large(store, one)

    assert owed.count(store) == len(wrong)
    open_ = [each.recipient for each in pushes.open_deliveries(store, one.push.ref)]
    assert open_ == [index for index in range(MANY) if index not in wrong]


def test_results_move_the_counts_and_the_last_one_ends_the_push(store: Store, make: Make) -> None:
    one = many(make, wrong=(3,))
    pushes.accept_large(store, one)
    ref, key = one.push.ref, keys.push(store.layout.push_shard(one.push.ref), one.push.ref)
    delivered = Result("delivered", "1000", "said", "MESSAGE", 200, 1, NOW_MS)
    again = Result("pending", "1001", "busy", "MESSAGE", 486, 1, NOW_MS)

    def store_result(index: int, result: Result, *, final: bool = True) -> None:
        event = Event(NOW_MS, index, "final" if final else "retry", "")
        pushes.store_results(
            store, [Stored(ref, index, result, final, event)], now_ms=NOW_MS, retention_s=1_000
        )

    for index in range(MANY):
        store_result(index, again, final=False)
        store_result(index, delivered)
        store_result(index, delivered)

    known = pushes.read(store, ref, most=0)
    assert known is not None
    assert known.by_state == {"delivered": MANY - 1, "undeliverable": 1}
    assert owed.count(store) == MANY
    assert (store.db.hexists(key, "body"), store.db.ttl(key)) == (False, 1_000)


@pytest.mark.parametrize(("first", "most"), [(0, 0), (0, 1), (498, 5), (MANY - 2, 10), (MANY, 3), (0, None)])
def test_pages_give_each_recipient_once(store: Store, make: Make, first: int, most: int | None) -> None:
    one = many(make)
    pushes.accept_large(store, one)

    pages = list(push_pages.read_all(store, one.push.ref, first, most))

    end = MANY if most is None else first + most
    assert [recipient for page in pages for recipient in page.recipients] == list(one.recipients[first:end])
    assert all(len(page.recipients) <= push_pages.PAGE for page in pages)


def test_a_push_of_the_release_before_is_read_without_its_count(store: Store, make: Make) -> None:
    one = make.submission("sip:a@home1.example", "sip:b@home1.example")
    pushes.accept_all(store, [one])
    store.db.hdel(keys.push(store.layout.push_shard(one.push.ref), one.push.ref), "count")

    found = pushes.read(store, one.push.ref)

    assert found is not None
    assert found.recipients == one.recipients
    assert Counter(one.aor for one in pushes.open_deliveries(store, one.push.ref)) == Counter(
        recipient.aor for recipient in one.recipients
    )


def test_hand_over_goes_in_bounded_trips(store: Store, make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    one = many(make)
    pushes.accept_large(store, one)
    largest: list[int] = []
    inner = client.call_all

    def measured(store: Store, calls: list[Call]) -> list[object]:
        batch = list(calls)
        largest.append(
            sum(len(bytes(word)) for each in batch for word in each.args if isinstance(word, bytes))
        )
        return inner(store, batch)

    monkeypatch.setattr(outbox, "call_all", measured)
    monkeypatch.setattr(outbox, "_LARGEST_ROUND_TRIP", 20_000)
    outbox.hand_over(store, pushes.open_deliveries(store, one.push.ref))

    assert len(largest) > 5
    assert max(largest) < 21_000
    assert outbox.depth(store).all == MANY
