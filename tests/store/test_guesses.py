"""Wrong passwords and usual addresses, as Redis keeps them."""

from omapush.push.guessing import FORGOTTEN_S, MOST_USUAL, USUAL_S, Counter
from omapush.store import guesses, keys
from omapush.store.client import Store
from tests.store.conftest import NOW_MS

ADDRESS, NAME = Counter("address", "192.0.2.1"), Counter("name", "mmsc")


def test_failures_are_counted_by_what_they_concern_and_forgotten_after_a_while(store: Store) -> None:
    assert guesses.failed(store, [ADDRESS, NAME]) == [1, 1]
    assert guesses.failed(store, [ADDRESS]) == [2]
    assert guesses.failed(store, [NAME]) == [2]
    assert 0 < store.db.ttl(keys.guesses(*ADDRESS)) <= FORGOTTEN_S

    guesses.forget(store, [ADDRESS])
    assert guesses.failed(store, [ADDRESS, NAME]) == [1, 3]


def test_an_address_is_usual_for_the_account_that_came_in_from_there(store: Store) -> None:
    guesses.remember(store, "mmsc", "192.0.2.1", NOW_MS)

    assert guesses.is_usual(store, "mmsc", "192.0.2.1", NOW_MS + 1)
    assert not guesses.is_usual(store, "mmsc", "192.0.2.2", NOW_MS)
    assert not guesses.is_usual(store, "other", "192.0.2.1", NOW_MS)
    assert not guesses.is_usual(store, "mmsc", "192.0.2.1", NOW_MS + USUAL_S * 1000)


def test_the_address_not_seen_longest_gives_way(store: Store) -> None:
    for number in range(MOST_USUAL + 1):
        guesses.remember(store, "mmsc", f"a{number}", NOW_MS + number)

    assert not guesses.is_usual(store, "mmsc", "a0", NOW_MS)
    assert guesses.is_usual(store, "mmsc", "a1", NOW_MS)
    assert store.db.zcard(keys.usual("mmsc")) == MOST_USUAL
