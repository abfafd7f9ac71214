"""Event logs: first with their push, then in a list, read as one; also where another release wrote them."""

from __future__ import annotations

import pytest

from omapush.push.values import Event, Result
from omapush.store import codec, contents, event_log, fetches, keys, owed, pushes, totals, user_data
from omapush.store.client import Store
from omapush.store.event_log import MOST_WITH_PUSH
from omapush.store.pushes import Stored, Submission
from tests.store.conftest import NOW_MS, Make
from tests.store.test_pushes import KEEP_S, finish, push_key

NOTED = Event(NOW_MS + 1, 0, "sent", "MESSAGE")


def log_key(store: Store, ref: str) -> str:
    return keys.push_log(store.layout.push_shard(ref), ref)


def accepted(store: Store, make: Make, *aors: str, log_s: int | None = None) -> Submission:
    one = make.submission(*aors)._replace(log_s=log_s)
    assert pushes.accept_all(store, [one]) == [True]
    return one


def as_before(store: Store, one: Submission) -> None:
    """Make of a push what a release left that had all logs in lists."""
    key = push_key(store, one.push.ref)
    assert store.db.hdel(key, "lines", "e0") == 2
    store.db.rpush(log_key(store, one.push.ref), codec.encode(one.event))


def noted(store: Store, ref: str, number: int, first: int = 0) -> None:
    for place in range(first, first + number):
        pushes.note(store, [(ref, Event(NOW_MS + place, 0, "sent", str(place)))])


def names(store: Store, ref: str) -> list[str]:
    return [event.name for event in event_log.events(store, ref)]


def test_a_push_to_one_recipient_is_one_key_until_it_is_told(store: Store, make: Make) -> None:
    one = accepted(store, make)
    pushes.note(store, [(one.push.ref, NOTED)])
    finish(store, one.push.ref, final=False, code="1001", at_ms=NOW_MS + 2)
    pushes.note(store, [(one.push.ref, NOTED._replace(at_ms=NOW_MS + 3))])
    finish(store, one.push.ref, at_ms=NOW_MS + 4)
    told = Event(NOW_MS + 5, 0, "notified", "")
    owed.settle_all(store, [owed.Settlement(f"{one.push.ref}.0", 0, told)])

    assert names(store, one.push.ref) == ["accepted", "sent", "retry", "sent", "final", "notified"]
    assert store.db.exists(log_key(store, one.push.ref)) == 0
    assert store.db.hget(push_key(store, one.push.ref), "lines") == b"6"


@pytest.mark.parametrize("later_ms", [0, 1])
def test_an_answer_that_is_stored_before_the_line_about_its_request_is_read_behind_it(
    store: Store, make: Make, later_ms: int
) -> None:
    one = accepted(store, make)
    finish(store, one.push.ref, at_ms=NOTED.at_ms + later_ms)
    pushes.note(store, [(one.push.ref, NOTED)])

    assert names(store, one.push.ref) == ["accepted", "sent", "final"]
    (told,) = event_log.last_of(store, {one.push.ref: None})
    assert [event.name for event in told] == ["accepted", "sent", "final"]


@pytest.mark.parametrize(("recipients", "log_s"), [(2, None), (1, 60)])
def test_other_logs_are_lists(store: Store, make: Make, recipients: int, log_s: int | None) -> None:
    one = accepted(store, make, *(f"sip:{number}@home1.example" for number in range(recipients)), log_s=log_s)
    pushes.note(store, [(one.push.ref, NOTED)])
    for index in range(recipients):
        finish(store, one.push.ref, index)

    assert names(store, one.push.ref) == ["accepted", "sent", *["final"] * recipients]
    assert store.db.llen(log_key(store, one.push.ref)) == 2 + recipients
    assert not store.db.hexists(push_key(store, one.push.ref), "lines")


def test_a_long_log_goes_on_in_a_list_and_comes_in_parts(store: Store, make: Make) -> None:
    one = accepted(store, make)
    noted(store, one.push.ref, 30)

    parts = [event_log.events(store, one.push.ref, first, 10) for first in (0, 10, 20, 30, 40)]

    assert store.db.llen(log_key(store, one.push.ref)) == 31 - MOST_WITH_PUSH
    assert [len(part) for part in parts] == [10, 10, 10, 1, 0]
    assert [event for part in parts for event in part] == event_log.events(store, one.push.ref)
    assert [event.text for event in event_log.events(store, one.push.ref)] == ["now", *map(str, range(30))]


@pytest.mark.parametrize("lines_before", [MOST_WITH_PUSH - 3, MOST_WITH_PUSH - 2, MOST_WITH_PUSH - 1, 20])
def test_list_and_push_end_together(store: Store, make: Make, lines_before: int) -> None:
    one = accepted(store, make)
    noted(store, one.push.ref, lines_before)
    finish(store, one.push.ref, final=False, code="1001", at_ms=NOW_MS + 50)
    finish(store, one.push.ref, at_ms=NOW_MS + 60)
    told = Event(NOW_MS + 99, 0, "notify-failed", "HTTP 500")
    for _ in range(3):
        owed.settle_all(store, [owed.Settlement(f"{one.push.ref}.0", NOW_MS + 1_000, told)])

    left = [int(store.db.ttl(name)) for name in (push_key(store, one.push.ref), log_key(store, one.push.ref))]
    assert all(KEEP_S - 10 < each <= KEEP_S for each in left)
    assert names(store, one.push.ref)[-5:] == ["retry", "final", *["notify-failed"] * 3]


def test_a_push_of_the_release_before_goes_on_and_ends_as_it_began(store: Store, make: Make) -> None:
    one = accepted(store, make)
    as_before(store, one)
    pushes.note(store, [(one.push.ref, NOTED)])
    finish(store, one.push.ref, final=False, code="1001", at_ms=NOW_MS + 2)
    finish(store, one.push.ref, at_ms=NOW_MS + 3)
    finish(store, one.push.ref, code="2000")
    told = Event(NOW_MS + 4, 0, "notified", "")
    owed.settle_all(store, [owed.Settlement(f"{one.push.ref}.0", 0, told)])

    found = pushes.read(store, one.push.ref)
    assert found is not None
    assert found.results[0].code == "1000"
    assert [event.name for event in found.events] == ["accepted", "sent", "retry", "final", "notified"]
    assert owed.count(store) == 0
    for key in (push_key(store, one.push.ref), log_key(store, one.push.ref)):
        assert KEEP_S - 10 < int(store.db.ttl(key)) <= KEEP_S
    assert not store.db.hexists(push_key(store, one.push.ref), "body")


def test_lines_of_an_older_node_are_found_in_order_and_end_with_the_push(store: Store, make: Make) -> None:
    one = accepted(store, make)
    theirs = Event(NOW_MS + 5, 0, "retry", "of an older node")
    store.db.rpush(log_key(store, one.push.ref), codec.encode(theirs))
    pushes.note(store, [(one.push.ref, Event(NOW_MS + 9, 0, "sent", "again"))])
    other = accepted(store, make)
    stored = [
        Stored(ref, 0, Result("delivered", "1000", "", "MESSAGE", 200, 2, NOW_MS), True, event)
        for event in (Event(NOW_MS + 10, 0, "final", ""),)
        for ref in (one.push.ref, other.push.ref)
    ]
    pushes.store_results(store, stored, now_ms=NOW_MS, retention_s=KEEP_S)

    assert names(store, one.push.ref) == ["accepted", "retry", "sent", "final"]
    assert event_log.events(store, one.push.ref, 1, 2) == event_log.events(store, one.push.ref)[1:3]
    assert KEEP_S - 10 < int(store.db.ttl(log_key(store, one.push.ref))) <= KEEP_S
    assert store.db.exists(log_key(store, other.push.ref)) == 0


def test_results_of_all_kinds_of_pushes_come_in_one_batch(store: Store, make: Make) -> None:
    plain, old, uploaded = (accepted(store, make) for _ in range(3))
    several = accepted(store, make, "sip:a@home1.example", "sip:b@home1.example")
    as_before(store, old)
    store.db.hset(push_key(store, uploaded.push.ref), "pieces", 1)
    where = [(one.push.ref, 0) for one in (plain, old, uploaded, several)] + [(several.push.ref, 1)]
    result = Result("delivered", "1000", "said", "MESSAGE", 200, 1, NOW_MS)

    def store_all() -> dict[tuple[str, int], bool]:
        gone = ("0" * 20, 0)
        stored = [Stored(*each, result, True, Event(NOW_MS, each[1], "final", "")) for each in (*where, gone)]
        return pushes.store_results(store, stored, now_ms=NOW_MS, retention_s=KEEP_S)

    assert store_all() == {**dict.fromkeys(where, True), ("0" * 20, 0): False}
    assert not any(store_all().values())
    assert pushes.are_final(store, where) == [True] * 5
    assert owed.count(store) == 5
    for one in (plain, old, uploaded, several):
        assert KEEP_S - 10 < int(store.db.ttl(push_key(store, one.push.ref))) <= KEEP_S
        assert not store.db.hget(push_key(store, one.push.ref), "body")
    assert totals.read(store).ended == {"delivered": 5}


def test_more_results_than_lua_may_unpack_come_in_one_batch(store: Store, make: Make) -> None:
    one = accepted(store, make)
    result = Result("pending", "1001", "busy", "MESSAGE", 486, 1, NOW_MS)
    again = Stored(one.push.ref, 0, result, False, Event(NOW_MS, 0, "retry", ""))

    pushes.store_results(store, [again] * 9_000, now_ms=NOW_MS, retention_s=KEEP_S)

    assert len(event_log.events(store, one.push.ref)) == 9_001


def test_the_content_of_a_push_is_gone_when_it_is_over_and_not_before(store: Store, make: Make) -> None:
    full = accepted(store, make)
    empty = make.submission()._replace(content=b"")
    pushes.accept_all(store, [empty])
    assert contents.read(store, full.push.ref, 0, 9) == b"abc"
    assert contents.read(store, empty.push.ref, 0, 9) == b""
    assert contents.link(store, empty.push.ref, NOW_MS + 60_000)
    late = make.submission()._replace(content=b"")
    pushes.accept_all(store, [late])

    for one in (full, late):
        finish(store, one.push.ref)

    for one in (full, late):
        assert contents.read(store, one.push.ref, 0, 9) is None
        assert contents.link(store, one.push.ref, NOW_MS + 60_000) is None


def test_fetches_are_lines_of_the_same_log(store: Store, make: Make) -> None:
    one = accepted(store, make)
    waits = Result("pending", "1001", "took a link", "MESSAGE", 200, 1, NOW_MS)
    event = Event(NOW_MS, 0, "link", "")
    fetches.wait_for(store, [fetches.Awaited(one.push.ref, 0, waits, event, NOW_MS + 1_000)])
    part, whole = (Event(NOW_MS, 0, name, "") for name in ("part", "whole"))
    for served in (range(2), range(3)):
        fetches.note(store, one.push.ref, 0, served, 3, event=part, complete=whole)

    assert names(store, one.push.ref) == ["accepted", "link", "part", "whole"]
    assert store.db.exists(log_key(store, one.push.ref)) == 0


def test_a_line_is_erased_where_it_is_and_never_in_a_push_that_is_gone(store: Store, make: Make) -> None:
    one = accepted(store, make)
    noted(store, one.push.ref, MOST_WITH_PUSH + 2)
    lines = event_log.lines(store, one.push.ref)
    assert [line.place for line in lines[MOST_WITH_PUSH - 1 :]] == [f"e{MOST_WITH_PUSH - 1}", 0, 1, 2]

    for number in (1, MOST_WITH_PUSH, MOST_WITH_PUSH + 2):
        user_data.erase_mention(store, one.push.ref, lines[number])
    texts = [event.text for event in event_log.events(store, one.push.ref)]
    assert [number for number, text in enumerate(texts) if text == "erased"] == [
        1,
        MOST_WITH_PUSH,
        MOST_WITH_PUSH + 2,
    ]
    store.db.delete(push_key(store, one.push.ref), log_key(store, one.push.ref))
    for number in (1, MOST_WITH_PUSH):
        user_data.erase_mention(store, one.push.ref, lines[number])
    assert store.db.exists(push_key(store, one.push.ref), log_key(store, one.push.ref)) == 0


def test_the_list_of_a_long_log_is_bounded(store: Store, make: Make) -> None:
    one = accepted(store, make)
    for first in range(0, 21_000, 1_000):
        events = [(one.push.ref, Event(NOW_MS + n, 0, "sent", "")) for n in range(first, first + 1_000)]
        pushes.note(store, events)

    assert store.db.llen(log_key(store, one.push.ref)) == 20_000
    finish(store, one.push.ref)
    assert names(store, one.push.ref)[-1] == "final"
    assert store.db.llen(log_key(store, one.push.ref)) == 20_001
