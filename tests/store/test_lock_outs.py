"""What is locked after wrong passwords, as all nodes see it."""

from omapush.push.guessing import Counter, LockOut, of_account
from omapush.store import guesses, keys, lock_outs
from omapush.store.client import Store

NOW_MS = 1_800_000_000_000
ADDRESS, PAIR = Counter("address", "192.0.2.66"), Counter("pair", "operator/ann 2001:db8::/64")


def test_what_is_locked_is_told_with_its_failures_until_it_is_over(store: Store) -> None:
    for _ in range(11):
        guesses.failed(store, [ADDRESS])
    lock_outs.note(store, [(PAIR, NOW_MS + 20_000), (ADDRESS, NOW_MS + 60_000)])

    assert lock_outs.standing(store, NOW_MS) == [
        LockOut(PAIR, 0, NOW_MS + 20_000, NOW_MS + 20_000),
        LockOut(ADDRESS, 11, NOW_MS, NOW_MS + 60_000),
    ]
    assert [one.counter for one in lock_outs.standing(store, NOW_MS + 20_000)] == [ADDRESS]
    assert lock_outs.standing(store, NOW_MS + 60_000) == []
    assert store.db.zcard(keys.LOCK_OUTS) == 0


def test_what_is_lifted_begins_anew_and_is_told_to_all(store: Store) -> None:
    guesses.failed(store, [ADDRESS, PAIR])
    lock_outs.note(store, [(ADDRESS, NOW_MS + 60_000), (PAIR, NOW_MS + 60_000)])

    lock_outs.lift(store, [ADDRESS], NOW_MS + 5)

    assert lock_outs.lifted(store) == {ADDRESS: NOW_MS + 5}
    assert [one.counter for one in lock_outs.standing(store, NOW_MS)] == [PAIR]
    assert guesses.failed(store, [ADDRESS, PAIR]) == [1, 2]
    assert 0 < store.db.ttl(keys.LIFTED) < 3_600


def test_an_old_lift_is_forgotten_with_the_next(store: Store) -> None:
    lock_outs.lift(store, [ADDRESS], NOW_MS)
    lock_outs.lift(store, [PAIR], NOW_MS + 3_600_000)
    assert lock_outs.lifted(store) == {PAIR: NOW_MS + 3_600_000}


def test_a_kind_that_another_release_locks_is_left_out(store: Store) -> None:
    store.db.zadd(keys.LOCK_OUTS, {"network 192.0.2.0/24": NOW_MS + 60_000})
    assert lock_outs.standing(store, NOW_MS) == []


def test_all_places_of_an_account_are_lifted(store: Store) -> None:
    guesses.remember(store, "mmsc", "192.0.2.1", NOW_MS)
    assert of_account("mmsc", guesses.usual_of(store, "mmsc")) == (
        Counter("name", "mmsc"),
        Counter("pair", "mmsc 192.0.2.1"),
    )
