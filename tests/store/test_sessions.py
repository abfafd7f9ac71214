"""Sessions in Redis: one winner, one live session of a user and application, and what leads to them."""

from omapush.push.session import CONFIRMED, TAKEN, Ending, Session, Stream, ended, place_of, stream_of
from omapush.push.values import ticket
from omapush.store import keys, outbox, outbox_views, sessions
from omapush.store.client import Store
from omapush.store.outbox import Hold, Owner
from omapush.store.sessions import Change, Moved
from tests.harness import records
from tests.harness.messagepack import named, unpacked
from tests.store.conftest import NOW_MS, Make

A, B = "sip:a@home1.example", "sip:b@home1.example"
ONE, TWO = "0" * 15 + "1", "0" * 15 + "2"
ALL = range(4)
OWNER = Owner("node", "run", 0)


def begun(store: Store, *streams: Stream, suffix: str = ONE, aor: str = A) -> Session:
    session = records.session(aor, suffix, NOW_MS, *(streams or [some(aor)]))
    assert sessions.begin(store, session)
    return session


def some(aor: str = A) -> Stream:
    return records.stream(ticket(Make().delivery(aor, number=99)))


def over(session: Session) -> Session:
    return ended(session, session.live, Ending("us", 0, "", NOW_MS))


def agreed(ticket_text: str, number: int = 1) -> Stream:
    return records.stream(ticket_text, number)._replace(state="agreed", line=number - 1)


def tickets(number: int) -> list[str]:
    make = Make()
    return [ticket(make.delivery(A)) for _ in range(number)]


def test_a_session_is_found_by_its_tickets_its_user_and_its_time(store: Store) -> None:
    first, second = tickets(2)
    session = begun(store, records.stream(first))

    assert sessions.carriers(store, [first, second]) == {first: session.id}
    assert sessions.live_of(store, A, "mms.ua") == session.id
    assert sessions.live_of(store, A, "other.ua") == sessions.live_of(store, B, "mms.ua") == ""
    assert sessions.due(store, ALL, NOW_MS, most=9) == [session.id]
    assert sessions.due(store, ALL, NOW_MS - 1, most=9) == []
    assert sessions.read_all(store, [session.id, session.id[:-1] + "f"]) == [session, None]


def test_one_session_at_a_time_carries_pushes_of_an_application_to_a_user(store: Store) -> None:
    first = begun(store)
    assert not sessions.begin(store, records.session(A, TWO, NOW_MS, some()))
    assert sessions.begin(store, records.session(B, TWO, NOW_MS, some(B)))
    assert sessions.begin(store, records.session(A, TWO, NOW_MS, some(), application="other.ua"))

    sessions.change(store, first.id, lambda old: Change(over(first)))

    third = records.session(A, "0" * 15 + "3", NOW_MS, some())
    assert sessions.begin(store, third)
    assert sessions.live_of(store, A, "mms.ua") == third.id


def test_of_two_writers_that_read_the_same_one_wins_and_the_other_looks_again(
    store: Store, other_store: Store
) -> None:
    session = begun(store)
    seen: list[str] = []

    def slow(old: Session | None) -> Change:
        assert old is not None
        seen.append(old.why)
        if len(seen) == 1:
            sessions.change(other_store, session.id, lambda _: Change(session._replace(why="first")))
        return Change(old._replace(why=f"{old.why}, then second"))

    changed = sessions.change(store, session.id, slow)

    assert changed is not None
    assert changed.session.why == "first, then second"
    assert seen == ["", "first"]


def test_a_rule_that_changes_nothing_changes_nothing(store: Store) -> None:
    session = begun(store)
    assert sessions.change(store, session.id, lambda old: None) is None
    assert sessions.change(store, session.id, lambda old: Change(session)) is None
    assert sessions.change(store, session.id[:-1] + "f", lambda old: None) is None


def test_a_stream_that_joins_is_found_and_a_retry_belongs_to_its_newest_session(store: Store) -> None:
    first, second = tickets(2)
    session = begun(store, records.stream(first))
    both = (*session.streams, records.stream(second, 2))
    sessions.change(store, session.id, lambda old: Change(over(session._replace(streams=both))))
    assert sessions.carriers(store, [first, second]) == dict.fromkeys((first, second), session.id)

    retried = begun(store, records.stream(first, attempt=2), suffix=TWO)
    sessions.change(store, session.id, lambda old: Change(old and old._replace(why="later")))
    assert sessions.carriers(store, [first, second]) == {first: retried.id, second: session.id}

    sessions.change(store, session.id, lambda old: Change(None))
    assert sessions.carriers(store, [first, second]) == {first: retried.id}
    assert sessions.read_all(store, [session.id]) == [None]
    assert sessions.due(store, ALL, 2**50, most=9) == [retried.id]


def test_deliver_before_is_moved_only_while_the_delivery_is_there(store: Store, make: Make) -> None:
    delivery = make.delivery(A)
    outbox.hand_over(store, [delivery])
    here, gone = ticket(delivery), tickets(9)[-1]
    session = begun(store, records.stream(here), records.stream(gone, 2))
    moved = (Moved(here, delivery.deliver_before_ms + 5_000), Moved(gone, delivery.deliver_before_ms))

    changed = sessions.change(store, session.id, lambda old: Change(session._replace(state="open"), moved))

    assert changed is not None
    assert changed.gone == (gone,)
    number = store.layout.user_shard(A)
    assert store.db.zscore(keys.outbox(number, "expiry"), here) == delivery.deliver_before_ms + 5_000
    assert store.db.zscore(keys.outbox(number, "expiry"), gone) is None


def test_a_report_ends_its_stream_once_and_wakes_the_delivery_that_is_held(store: Store, make: Make) -> None:
    delivery = make.delivery(A)
    outbox.hand_over(store, [delivery])
    outbox.claim(store, ALL, OWNER, lease_ms=60_000, transaction_ms=40_000)
    outbox.take(store, ALL, OWNER, transaction_ms=40_000, most=9)
    outbox.hold(store, [Hold(ticket(delivery), 2**50)])
    one, other = agreed(ticket(delivery)), agreed(tickets(9)[-1], 2)
    session = begun(store, one, other)
    ending = Ending("msrp", CONFIRMED, "all 5000 octets", NOW_MS + 9, sent=5_000)

    assert sessions.report(store, session.id, one.path, ending)

    [after] = sessions.read_all(store, [session.id])
    assert after is not None
    assert [(each.state, each.ending) for each in after.streams] == [("ended", ending), ("agreed", None)]
    assert after.due_ms == NOW_MS + 9
    assert outbox_views.whereabouts(store, delivery) == "ready"
    assert not sessions.report(store, session.id, one.path, ending._replace(code=413))
    assert not sessions.report(store, session.id, "msrp://127.0.0.1:1/none;tcp", ending)
    assert not sessions.report(store, session.id[:-1] + "f", one.path, ending)


def test_a_delivery_that_a_device_has_whole_comes_too_late_to_be_taken_back(store: Store, make: Make) -> None:
    here, there = make.delivery(A), make.delivery(A)
    first, second, third = ticket(here), ticket(there), tickets(9)[-1]
    one, other = agreed(first), agreed(second, 2)
    session = begun(store, one, other)
    sessions.report(store, session.id, one.path, Ending("msrp", TAKEN, "all of it", NOW_MS))
    sessions.report(store, session.id, other.path, Ending("msrp", 413, "stopped", NOW_MS))

    assert sessions.arrived(store, [first, second, third]) == {first}
    assert sessions.arrived(store, []) == set()


def test_an_aborted_delivery_leaves_its_session_which_is_looked_at_at_once(store: Store) -> None:
    first, second, third = tickets(3)
    session = begun(store, agreed(first, 1), agreed(second, 2))

    sessions.abort(store, [second, third], "cancelled", NOW_MS - 7)

    [after] = sessions.read_all(store, [session.id])
    assert after is not None
    assert [one.ticket for one in after.live] == [first]
    carried = stream_of(after, second, 1)
    assert carried is not None
    assert carried.ending == Ending("us", 0, "cancelled", NOW_MS - 7)
    assert sessions.due(store, ALL, NOW_MS - 7, most=9) == [session.id]


def test_a_broken_record_counts_as_none_and_can_be_taken_away(store: Store) -> None:
    session = begun(store)
    number = store.layout.user_shard(A)
    store.db.set(keys.session(number, session.id), b"\x93\x01\x02")
    assert sessions.read_all(store, [session.id]) == [None]

    sessions.discard(store, session.id, place_of(A, "mms.ua"))

    assert sessions.live_of(store, A, "mms.ua") == ""
    assert sessions.due(store, ALL, 2**50, most=9) == []
    assert store.db.keys("session:*") == []


def test_what_can_be_read_is_not_discarded(store: Store) -> None:
    session = begun(store)
    sessions.discard(store, session.id)
    assert sessions.read_all(store, [session.id]) == [session]


def test_a_stranger_reads_the_record(store: Store) -> None:
    session = begun(store, agreed(tickets(1)[0]))
    number = store.layout.user_shard(A)

    values = named(Session, unpacked(store.db.get(keys.session(number, session.id))))

    assert values["state"] == "gathering"
    assert named(Stream, values["streams"][0])["state"] == "agreed"


def test_sessions_that_carry_something_are_counted(store: Store) -> None:
    session = begun(store)
    assert sessions.open_sessions(store) == 1
    sessions.change(store, session.id, lambda old: Change(over(session)))
    assert sessions.open_sessions(store) == 0
