"""Pushes in Redis: accepted once, a final result once, told once, and gone after their time."""

import pytest

from omapush.push.values import Event, Push, Result
from omapush.store import keys, owed, pushes
from omapush.store.client import Store
from omapush.store.codec import BrokenRecord
from omapush.store.pushes import Stored, Submission
from tests.harness.messagepack import named, unpacked
from tests.store.conftest import NOW_MS, Make, writes

KEEP_S = 1_000


def settle(store: Store, member: str, *, again_ms: int, event: Event) -> None:
    owed.settle_all(store, [owed.Settlement(member, again_ms, event)])


def finish(
    store: Store, ref: str, recipient: int = 0, *, final: bool = True, code: str = "1000", at_ms: int = NOW_MS
) -> None:
    state = "delivered" if final else "pending"
    result = Result(state, code, "said", "MESSAGE", 200, 1, at_ms)  # type: ignore[arg-type]
    event = Event(at_ms, recipient, "final" if final else "retry", code)
    pushes.store_results(
        store, [Stored(ref, recipient, result, final, event)], now_ms=at_ms, retention_s=KEEP_S
    )


def known(store: Store, ref: str) -> pushes.Known:
    found = pushes.read(store, ref)
    assert found is not None
    return found


def push_key(store: Store, ref: str) -> str:
    return keys.push(store.layout.push_shard(ref), ref)


def test_a_push_is_read_back_as_it_was_accepted(store: Store, make: Make) -> None:
    one = make.submission("sip:a@home1.example", "sip:b@home1.example")
    assert pushes.accept_all(store, [one]) == [True]

    found = known(store, one.push.ref)
    assert (found.push, found.recipients, found.results) == (one.push, one.recipients, one.results)
    assert found.events == (one.event,)
    assert pushes.read(store, "0" * 20) is None


def test_a_push_id_is_taken_once_even_within_one_batch(store: Store, other_store: Store, make: Make) -> None:
    one, again = make.submission(push_id="same"), make.submission("sip:z@home1.example", push_id="same")

    assert pushes.accept_all(store, [one, make.submission(), again]) == [True, True, False]
    assert pushes.accept_all(other_store, [again]) == [False]
    assert known(store, one.push.ref).recipients == one.recipients


def test_what_is_not_noted_as_handed_over_is_found_by_the_sweeper(store: Store, make: Make) -> None:
    left, done = make.submission("sip:a@home1.example", "sip:b@home1.example"), make.submission()
    pushes.accept_all(store, [left, done])
    pushes.handed_over(store, [done.push.ref])

    assert pushes.not_handed_over(store, NOW_MS - 1) == []
    assert pushes.not_handed_over(store, NOW_MS) == [left.push.ref]
    finish(store, left.push.ref, 0)
    assert [one.aor for one in pushes.open_deliveries(store, left.push.ref)] == ["sip:b@home1.example"]
    assert next(pushes.open_deliveries(store, left.push.ref)).content == b"abc"
    assert list(pushes.open_deliveries(store, "0" * 20)) == []


def test_a_repeat_writes_so_that_it_waits_for_what_came_before_it(store: Store, make: Make) -> None:
    """
    WAIT looks at the last write of its own connection alone (Redis from 7.2, Valkey): the first submission
    may have come by another one, and its answer be lost with a master that no replica followed.
    """
    one = make.submission()
    pushes.accept_all(store, [one])
    before = writes(store)

    assert pushes.accept_all(store, [one]) == [False]
    assert writes(store) > before
    assert known(store, one.push.ref).recipients == one.recipients


def test_a_recipient_that_was_final_at_once_is_never_delivered_to(store: Store, make: Make) -> None:
    one = make.submission("", "sip:b@home1.example")
    wrong = Result("undeliverable", "2002", "no address", "", 0, 0, NOW_MS)
    pushes.accept_all(store, [one._replace(results=(wrong, one.results[1]))])

    assert [each.recipient for each in pushes.open_deliveries(store, one.push.ref)] == [1]


def test_a_final_result_stays_whatever_comes_later(store: Store, make: Make) -> None:
    one = make.submission()
    pushes.accept_all(store, [one])
    finish(store, one.push.ref, final=False, code="1001")
    finish(store, one.push.ref, code="5026")
    finish(store, one.push.ref, code="1000")
    finish(store, one.push.ref, final=False, code="1001")

    found = known(store, one.push.ref)
    assert found.results[0].code == "5026"
    assert [event.name for event in found.events] == ["accepted", "retry", "final"]
    assert owed.count(store) == 1


def test_the_same_final_result_twice_in_one_batch_counts_once(store: Store, make: Make) -> None:
    one = make.submission("sip:a@home1.example", "sip:b@home1.example")
    pushes.accept_all(store, [one])
    result = Result("delivered", "1000", "said", "MESSAGE", 200, 1, NOW_MS)
    stored = Stored(one.push.ref, 0, result, True, Event(NOW_MS, 0, "final", ""))
    pushes.store_results(store, [stored, stored], now_ms=NOW_MS, retention_s=KEEP_S)

    assert store.db.hget(push_key(store, one.push.ref), "open") == b"1"
    assert pushes.are_final(store, [(one.push.ref, 0), (one.push.ref, 1), ("0" * 20, 0)]) == [
        True,
        False,
        True,
    ]


def test_content_goes_and_time_runs_when_the_last_recipient_is_final(store: Store, make: Make) -> None:
    one = make.submission("sip:a@home1.example", "sip:b@home1.example")
    pushes.accept_all(store, [one])
    name = push_key(store, one.push.ref)
    log = keys.push_log(store.layout.push_shard(one.push.ref), one.push.ref)

    finish(store, one.push.ref, 0)
    assert (store.db.hget(name, "body"), store.db.ttl(name)) == (b"abc", -1)
    finish(store, one.push.ref, 1)
    assert store.db.hget(name, "body") is None
    for each in (name, log):
        assert KEEP_S - 10 < int(store.db.ttl(each)) <= KEEP_S


def test_results_and_notes_for_a_forgotten_push_leave_nothing_behind(store: Store) -> None:
    finish(store, "0" * 20)
    pushes.note(store, [("0" * 20, Event(NOW_MS, 0, "sent", ""))])

    assert store.db.dbsize() == 0


def test_what_is_still_lent_to_us_is_lent_again_and_for_longer(store: Store, make: Make) -> None:
    ours, others, told, gone = (make.submission() for _ in range(4))
    pushes.accept_all(store, [ours, others, told, gone])
    for one in (ours, others, told, gone):
        finish(store, one.push.ref)
    lent = dict(owed.borrow_due(store, now_ms=NOW_MS, lease_ms=50, most=10))
    until = {f"{one.push.ref}.0": NOW_MS + 50 for one in (ours, others, told, gone)}
    until[f"{others.push.ref}.0"] -= 1  # as who had it lent before another did
    settled = owed.Settlement(f"{told.push.ref}.0", 0, Event(NOW_MS, 0, "notified", ""))
    owed.settle_all(store, [settled])
    store.db.delete(push_key(store, gone.push.ref))

    again = dict(owed.borrow_again(store, until, to_ms=NOW_MS + 500))

    name = f"{ours.push.ref}.0"
    assert again == {name: lent[name], f"{gone.push.ref}.0": None}
    due = {member for member, _ in owed.borrow_due(store, now_ms=NOW_MS + 499, lease_ms=1, most=10)}
    assert due == {f"{others.push.ref}.0"}


def test_a_result_whose_push_cannot_be_read_is_lent_with_the_reason(store: Store, make: Make) -> None:
    one, whole = make.submission(), make.submission()
    pushes.accept_all(store, [one, whole])
    finish(store, one.push.ref)
    finish(store, whole.push.ref)
    store.db.hset(push_key(store, one.push.ref), "record", b"\xc1 no record")

    lent = dict(owed.borrow_due(store, now_ms=NOW_MS, lease_ms=50, most=10))

    assert isinstance(lent[f"{one.push.ref}.0"], BrokenRecord)
    assert isinstance(lent[f"{whole.push.ref}.0"], owed.Due)


def test_a_try_that_is_not_noted_leaves_no_line_and_the_last_one_always_does(
    store: Store, make: Make
) -> None:
    one = make.submission("sip:a@home1.example")
    pushes.accept_all(store, [one])
    finish(store, one.push.ref)
    before = len(known(store, one.push.ref).events)
    ((member, _),) = owed.borrow_due(store, now_ms=NOW_MS, lease_ms=50, most=10)
    failed = Event(NOW_MS, 0, "notify-failed", "HTTP 500")

    owed.settle_all(store, [owed.Settlement(member, NOW_MS + 100, failed, is_noted=False)])
    assert len(known(store, one.push.ref).events) == before
    assert owed.borrow_due(store, now_ms=NOW_MS + 99, lease_ms=50, most=10) == []
    owed.settle_all(store, [owed.Settlement(member, NOW_MS + 200, failed)])
    owed.settle_all(store, [owed.Settlement(member, 0, Event(NOW_MS, 0, "notified", ""))])

    assert [event.name for event in known(store, one.push.ref).events[before:]] == [
        "notify-failed",
        "notified",
    ]


def test_each_final_result_is_owed_once_and_closed_when_told(store: Store, make: Make) -> None:
    one, quiet = make.submission("sip:a@home1.example", "sip:b@home1.example"), make.submission(notify_url="")
    pushes.accept_all(store, [one, quiet])
    finish(store, quiet.push.ref)
    finish(store, one.push.ref, 1)

    ((member, due),) = owed.borrow_due(store, now_ms=NOW_MS, lease_ms=50, most=10)
    assert isinstance(due, owed.Due)
    assert (due.push, due.recipient, due.result.state) == (one.push, one.recipients[1], "delivered")
    assert owed.split_member(member) == (one.push.ref, 1)
    owed.settle_all(store, [owed.Settlement(member, 0, Event(NOW_MS, 1, "notified", ""))])
    assert owed.count(store) == 0
    assert known(store, one.push.ref).events[-1].name == "notified"


def test_a_borrowed_notification_comes_back_when_its_borrower_died(store: Store, make: Make) -> None:
    one = make.submission()
    pushes.accept_all(store, [one])
    finish(store, one.push.ref)

    def due(now_ms: int) -> int:
        return len(owed.borrow_due(store, now_ms=now_ms, lease_ms=50, most=10))

    assert [due(NOW_MS - 1), due(NOW_MS), due(NOW_MS + 49), due(NOW_MS + 50)] == [0, 1, 0, 1]


def test_a_notification_put_off_is_due_at_its_time_and_a_closed_one_never_again(
    store: Store, make: Make
) -> None:
    one = make.submission()
    pushes.accept_all(store, [one])
    finish(store, one.push.ref)
    ((member, _),) = owed.borrow_due(store, now_ms=NOW_MS, lease_ms=1, most=1)
    event = Event(NOW_MS, 0, "notify-failed", "HTTP 500")

    settle(store, member, again_ms=NOW_MS + 500, event=event)
    assert owed.borrow_due(store, now_ms=NOW_MS + 499, lease_ms=1, most=1) == []
    assert len(owed.borrow_due(store, now_ms=NOW_MS + 500, lease_ms=1, most=1)) == 1
    settle(store, member, again_ms=0, event=event)
    settle(store, member, again_ms=NOW_MS, event=event)  # a second borrower that was slow
    assert owed.count(store) == 0


def test_a_notification_of_a_forgotten_push_says_so(store: Store, make: Make) -> None:
    one = make.submission()
    pushes.accept_all(store, [one])
    finish(store, one.push.ref)
    store.db.delete(push_key(store, one.push.ref))

    assert owed.borrow_due(store, now_ms=NOW_MS, lease_ms=1, most=1) == [(f"{one.push.ref}.0", None)]


@pytest.mark.parametrize("recipients", [1, 1_000, 5_000])
def test_a_push_may_have_very_many_recipients(store: Store, make: Make, recipients: int) -> None:
    one = make.submission(*(f"sip:{i}@home1.example" for i in range(recipients)))

    assert pushes.accept_all(store, [one]) == [True]
    assert len(list(pushes.open_deliveries(store, one.push.ref))) == recipients


def test_every_record_of_a_push_is_plain_messagepack(store: Store, make: Make) -> None:
    one = make.submission()
    pushes.accept_all(store, [one])
    finish(store, one.push.ref)
    fields = store.db.hgetall(push_key(store, one.push.ref))

    record = named(Push, unpacked(fields[b"record"]))
    assert (record["version"], record["push_id"]) == (1, one.push.push_id)
    assert unpacked(fields[b"a0"]) == list(one.recipients[0])
    assert named(Result, unpacked(fields[b"r0"]))["state"] == "delivered"
    assert unpacked(fields[b"e0"]) == list(one.event)
    assert unpacked(fields[b"e1"])[2] == "final"


def test_every_key_of_a_push_is_in_one_slot(store: Store, make: Make) -> None:
    one = make.submission()
    pushes.accept_all(store, [one])
    finish(store, one.push.ref)

    slots = {name.partition(b"{")[2].partition(b"}")[0] for name in store.db.scan_iter()}
    assert slots == {f"p{store.layout.push_shard(one.push.ref)}".encode()}


def test_a_push_id_may_stay_taken_though_its_push_is_forgotten(store: Store, make: Make) -> None:
    one = make.submission(push_id="kept")._replace(id_kept_ms=1_000)
    assert pushes.accept_all(store, [one]) == [True]
    store.db.delete(push_key(store, one.push.ref))

    def again(later_ms: int) -> list[bool | None]:
        push = one.push._replace(accepted_ms=NOW_MS + later_ms)
        return pushes.accept_all(store, [one._replace(push=push)])

    assert again(999) == [False]
    assert not pushes.accept_large(store, one._replace(push=one.push._replace(accepted_ms=NOW_MS + 999)))
    assert again(1_000) == [True]
    store.db.delete(push_key(store, one.push.ref))
    assert pushes.accept_all(store, [one._replace(id_kept_ms=0)]) == [True]


def test_an_event_log_may_be_kept_for_a_shorter_time_than_its_push(store: Store, make: Make) -> None:
    short, long, usual = (make.submission()._replace(log_s=log_s) for log_s in (7, 10 * KEEP_S, None))
    pushes.accept_all(store, [short, long, usual])
    for one in (short, long, usual):
        finish(store, one.push.ref)

    def left_s(one: Submission) -> tuple[int, int]:
        log = keys.push_log(store.layout.push_shard(one.push.ref), one.push.ref)
        return int(store.db.ttl(push_key(store, one.push.ref))), int(store.db.ttl(log))

    assert left_s(short) == (KEEP_S, 7)
    assert left_s(long) == (KEEP_S, KEEP_S)
    assert left_s(usual) == (KEEP_S, -2), "it is with the push"


@pytest.mark.parametrize("is_large", [False, True])
def test_a_push_whose_recipients_are_all_final_from_the_start_has_ended(
    store: Store, make: Make, is_large: bool
) -> None:
    wrong = Result("cancelled", "2008", "too late", "", 0, 0, NOW_MS)
    one = make.submission("sip:a@home1.example", "sip:b@home1.example")._replace(
        results=(wrong, wrong), retention_s=KEEP_S
    )

    assert pushes.accept_large(store, one) if is_large else pushes.accept_all(store, [one]) == [True]

    key = push_key(store, one.push.ref)
    assert (int(store.db.ttl(key)), store.db.hexists(key, "body")) == (KEEP_S, False)
    assert owed.count(store) == 2


def test_a_result_is_lent_for_longer_to_who_has_it_and_to_nobody_else(store: Store, make: Make) -> None:
    one = make.submission()
    pushes.accept_all(store, [one])
    finish(store, one.push.ref)
    ((member, _),) = owed.borrow_due(store, now_ms=NOW_MS, lease_ms=50, most=10)

    assert owed.borrow_on(store, member, until_ms=NOW_MS + 50, to_ms=NOW_MS + 90)
    assert owed.borrow_due(store, now_ms=NOW_MS + 89, lease_ms=50, most=10) == []
    assert not owed.borrow_on(store, member, until_ms=NOW_MS + 50, to_ms=NOW_MS + 900), "a lease before that"
    assert len(owed.borrow_due(store, now_ms=NOW_MS + 90, lease_ms=50, most=10)) == 1
    assert not owed.borrow_on(store, member, until_ms=NOW_MS + 90, to_ms=NOW_MS + 900), "another has it"
    owed.settle_all(store, [owed.Settlement(member, 0, Event(NOW_MS, 0, "notified", ""))])
    assert not owed.borrow_on(store, member, until_ms=NOW_MS + 140, to_ms=NOW_MS + 900), "it is closed"
    assert owed.count(store) == 0


def test_a_push_is_not_forgotten_before_the_next_try_to_tell_its_result(store: Store, make: Make) -> None:
    one = make.submission("sip:a@home1.example", "sip:b@home1.example")
    pushes.accept_all(store, [one])
    finish(store, one.push.ref, 0)
    finish(store, one.push.ref, 1)
    number = store.layout.push_shard(one.push.ref)
    names = push_key(store, one.push.ref), keys.push_log(number, one.push.ref)
    later_s = 3 * KEEP_S
    failed = Event(NOW_MS, 0, "notify-failed", "HTTP 500")

    settle(store, f"{one.push.ref}.0", again_ms=NOW_MS + 1_000, event=failed)
    soon = [int(store.db.ttl(name)) for name in names]
    settle(store, f"{one.push.ref}.0", again_ms=NOW_MS + later_s * 1_000, event=failed)

    assert all(int(store.db.ttl(name)) > later_s for name in names)
    settle(store, f"{one.push.ref}.0", again_ms=NOW_MS + 1_000, event=failed)
    assert all(int(store.db.ttl(name)) > later_s for name in names), "never sooner than before"
    assert all(left >= KEEP_S - 10 for left in soon)


def test_a_push_that_goes_on_gets_no_end_by_a_notification_that_failed(store: Store, make: Make) -> None:
    one = make.submission("sip:a@home1.example", "sip:b@home1.example")
    pushes.accept_all(store, [one])
    finish(store, one.push.ref, 0)

    failed = Event(NOW_MS, 0, "notify-failed", "HTTP 500")
    settle(store, f"{one.push.ref}.0", again_ms=NOW_MS + 1_000, event=failed)

    assert store.db.ttl(push_key(store, one.push.ref)) == -1


@pytest.mark.parametrize("again_ms", [0, NOW_MS + 1_000])
def test_a_notification_after_the_end_of_the_event_log_does_not_begin_another(
    store: Store, make: Make, again_ms: int
) -> None:
    one = make.submission()
    pushes.accept_all(store, [one])
    finish(store, one.push.ref)
    log = keys.push_log(store.layout.push_shard(one.push.ref), one.push.ref)
    store.db.delete(log)

    settle(store, f"{one.push.ref}.0", again_ms=again_ms, event=Event(NOW_MS, 0, "notified", ""))

    assert store.db.exists(log) == 0


@pytest.mark.parametrize("retention_s", [0, 60])
def test_a_short_retention_begins_when_the_result_was_told(
    store: Store, make: Make, retention_s: int
) -> None:
    one, quiet = make.submission(), make.submission(notify_url="")
    pushes.accept_all(store, [one, quiet])
    for each in (one, quiet):
        result = Result("delivered", "1000", "OK", "MESSAGE", 200, 1, NOW_MS)
        event = Event(NOW_MS, 0, "final", "")
        stored = Stored(each.push.ref, 0, result, True, event)
        pushes.store_results(store, [stored], now_ms=NOW_MS, retention_s=retention_s)

    name = push_key(store, one.push.ref)
    assert int(store.db.ttl(push_key(store, quiet.push.ref))) <= retention_s
    assert int(store.db.ttl(name)) > 590
    ((member, due),) = owed.borrow_due(store, now_ms=NOW_MS, lease_ms=50, most=10)
    assert due is not None
    owed.settle_all(store, [owed.Settlement(member, 0, Event(NOW_MS, 0, "notified", ""))])
    assert int(store.db.ttl(name)) <= retention_s
    assert (
        int(store.db.ttl(keys.push_log(store.layout.push_shard(one.push.ref), one.push.ref))) <= retention_s
    )


def test_a_long_retention_is_not_cut_when_the_result_was_told(store: Store, make: Make) -> None:
    one = make.submission()
    pushes.accept_all(store, [one])
    finish(store, one.push.ref)

    owed.settle_all(store, [owed.Settlement(f"{one.push.ref}.0", 0, Event(NOW_MS, 0, "notified", ""))])

    assert int(store.db.ttl(push_key(store, one.push.ref))) > KEEP_S - 10
