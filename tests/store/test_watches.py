"""Watches in Redis: a record and its time in one step, one winner, and what is remembered of cores."""

from omapush.push.values import target
from omapush.push.watch import (
    PRESENCE,
    REG,
    Core,
    Place,
    Subject,
    Watch,
    content_package,
    place_of,
    place_of_call,
    wanted,
)
from omapush.store import keys, watches
from omapush.store.client import Store
from omapush.store.watches import Change
from tests.harness.messagepack import named, unpacked
from tests.store.conftest import NOW_MS

A, B = "sip:a@home1.example", "sip:b@home1.example"
ALL = range(4)


def place(aor: str) -> Place:
    return place_of(Subject(aor, REG))


def due(store: Store, now_ms: int = NOW_MS) -> set[str]:
    """Users whose registrations are due to be watched; nothing else is."""
    found = watches.due(store, list(ALL), now_ms, most=100)
    assert {subject.package for subject in found} <= {REG}
    return {subject.aor for subject in found}


def stored(store: Store, aor: str, due_ms: int) -> Watch:
    watch = wanted(aor, NOW_MS)._replace(due_ms=due_ms)
    was = watches.read_all(store, [place(aor)])[0].data
    assert watches.replace(store, [Change(was, watch)]) == [True]
    return watch


def test_a_user_is_wanted_once_and_hurried_at_any_time(store: Store) -> None:
    watches.want(store, [A, B, A], NOW_MS)
    watches.want(store, [A], NOW_MS + 5_000)
    assert due(store) == {A, B}

    stored(store, A, NOW_MS + 9_000)
    watches.want(store, [A], NOW_MS)
    assert due(store) == {B}
    watches.hurry(store, [A], NOW_MS)
    assert due(store) == {A, B}


def test_a_watch_that_is_put_off_comes_again_and_is_still_what_it_was(store: Store) -> None:
    watches.want(store, [A], NOW_MS)
    watch = stored(store, B, NOW_MS)
    watches.put_off(store, {Subject(A, REG): NOW_MS + 5_000, Subject(B, REG): NOW_MS + 6_000})

    assert (due(store), due(store, NOW_MS + 5_000), due(store, NOW_MS + 6_000)) == (set(), {A}, {A, B})
    assert watches.read(store, B) == watch


def test_what_is_due_no_more_is_not_due_again_because_it_is_put_off(store: Store) -> None:
    stored(store, A, 0)
    watches.put_off(store, {Subject(A, REG): NOW_MS})

    assert due(store) == set()


def test_a_watch_that_waits_for_a_register_is_due_no_more_until_one_comes(store: Store) -> None:
    watches.want(store, [A], NOW_MS)
    stored(store, A, 0)
    assert due(store, 2**50) == set()

    watches.want(store, [A], NOW_MS)
    assert due(store) == {A}


def test_of_two_writers_that_read_the_same_one_wins(store: Store, other_store: Store) -> None:
    first = watches.read_all(store, [place(A), place(B)])
    second = watches.read_all(other_store, [place(A)])
    mine = [Change(one.data, wanted(aor, NOW_MS)) for one, aor in zip(first, (A, B), strict=True)]
    theirs = Change(second[0].data, wanted(A, NOW_MS)._replace(why="other", due_ms=NOW_MS))

    assert watches.replace(other_store, [theirs]) == [True]
    assert watches.replace(store, mine) == [False, True]
    assert watches.read(store, A) == theirs.watch
    assert due(store) == {A}


def test_a_broken_watch_is_as_good_as_none_and_can_be_replaced(store: Store) -> None:
    name = keys.watch(store.layout.user_shard(A), target(A), REG)
    store.db.set(name, b"\x93\x01\x02")
    assert watches.read(store, A) is None

    watch = stored(store, A, NOW_MS)
    assert watches.read(store, A) == watch


def test_a_watch_is_found_by_the_call_id_of_its_dialogs(store: Store) -> None:
    watch = stored(store, A, NOW_MS)
    found = place_of_call(f"{target(A)}-70ce@127.0.0.1")

    assert found is not None
    assert watches.read_all(store, [found])[0].watch == watch


def test_two_packages_of_one_user_are_watched_each_by_itself(store: Store) -> None:
    watches.want(store, [A], NOW_MS)
    watches.want(store, [A], NOW_MS, PRESENCE)
    both = {Subject(A, REG), Subject(A, PRESENCE)}
    assert set(watches.due(store, list(ALL), NOW_MS, most=100)) == both

    reg = stored(store, A, 0)
    assert watches.due(store, list(ALL), NOW_MS, most=100) == [Subject(A, PRESENCE)]
    presence = wanted(A, NOW_MS, PRESENCE)._replace(due_ms=NOW_MS + 5_000)
    assert watches.replace(store, [Change(b"", presence)]) == [True]
    assert (watches.read(store, A), watches.read(store, A, PRESENCE)) == (reg, presence)
    watches.hurry(store, [A], NOW_MS, PRESENCE)
    assert watches.due(store, list(ALL), NOW_MS, most=100) == [Subject(A, PRESENCE)]


def test_a_hosted_application_subscribes_beside_whoever_watches_the_sender(store: Store) -> None:
    package = content_package("mms.ua")
    watches.want(store, [A], NOW_MS)
    watches.want(store, [A], NOW_MS, package)
    assert set(watches.due(store, list(ALL), NOW_MS, most=100)) == {Subject(A, REG), Subject(A, package)}

    mine = wanted(A, NOW_MS, package)
    assert watches.replace(store, [Change(b"", mine)]) == [True]
    assert (watches.read(store, A, package), watches.read(store, A)) == (mine, None)
    assert watches.due(store, list(ALL), NOW_MS, most=100) == [Subject(A, REG)]


def test_a_watch_is_plain_messagepack_and_goes_a_day_after_its_end(store: Store) -> None:
    name = keys.watch(store.layout.user_shard(A), target(A), REG)
    stored(store, A, NOW_MS + 60_000)

    record = named(Watch, unpacked(store.db.get(name)))
    assert (record["version"], record["aor"], record["state"]) == (1, A, "waiting")
    left = store.db.pttl(name)
    assert isinstance(left, int)
    assert 0 <= 60_000 + watches.KEPT_AFTER_END_MS - left < 10_000


def test_what_a_core_does_is_remembered_piece_by_piece_for_a_day(store: Store) -> None:
    assert watches.cores(store, ["sip:s"]) == {"sip:s": Core()}
    watches.remember_core(store, "sip:s", Core())
    watches.remember_core(store, "sip:s", Core(identity="user"))
    watches.remember_core(store, "sip:s", Core(push_tags=True))

    assert watches.cores(store, ["sip:s", "sip:t", "sip:s"]) == {
        "sip:s": Core("user", push_tags=True),
        "sip:t": Core(),
    }
    left = store.db.ttl(keys.core("sip:s"))
    assert isinstance(left, int)
    assert 0 < left <= watches.CORE_KEPT_S
