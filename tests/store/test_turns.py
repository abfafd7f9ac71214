"""Turns of an application's pushes to one user."""

from typing import cast

from omapush.store import turns
from omapush.store.client import Store
from omapush.store.turns import Asking
from tests.store.conftest import Make

ALICE, BOB = "sip:alice@home1.example", "sip:bob@home1.example"


def waits(store: Store, make: Make, number: int, aor: str = ALICE, *, burst: int = 2) -> list[int]:
    return turns.waits_ms(store, [Asking(make.delivery(aor), 60, burst) for _ in range(number)])


def test_the_burst_may_leave_and_the_rest_has_turns_one_after_the_other(store: Store, make: Make) -> None:
    found = waits(store, make, 5)

    assert found[:2] == [0, 0]
    assert all(n * 1_000 - 500 < wait <= n * 1_000 for n, wait in enumerate(found[2:], 1))


def test_another_user_and_another_application_have_turns_of_their_own(store: Store, make: Make) -> None:
    waits(store, make, 5)
    other = make.delivery(ALICE)._replace(application="ulp.ua")

    assert waits(store, make, 1, BOB) == [0]
    assert turns.waits_ms(store, [Asking(other, 60, 1)]) == [0]


def test_asking_again_gives_the_same_turn(store: Store, other_store: Store, make: Make) -> None:
    waits(store, make, 3)
    late = [Asking(make.delivery(ALICE), 60, 2)]
    [first] = turns.waits_ms(store, late)
    [again] = turns.waits_ms(other_store, late)

    assert first - 500 < again <= first
    assert waits(store, make, 1)[0] > first


def test_nothing_is_kept_for_ever(store: Store, make: Make) -> None:
    waits(store, make, 300, burst=1_000)
    (name,) = cast("list[bytes]", store.db.keys("turns:*"))

    assert 0 < store.db.pttl(name) <= 600_000 + 1_000_000
    for field in cast("list[bytes]", store.db.hkeys(name)):
        if field != b"tat":
            store.db.hset(name, field, 1_000)
    waits(store, make, 1, burst=1_000)
    assert store.db.hlen(name) == 2
