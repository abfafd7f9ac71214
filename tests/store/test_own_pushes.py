"""An initiator's list of pushes: by time, also within one millisecond, and pruned of what is forgotten."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from omapush.push.acceptance import Offer
from omapush.push.fingerprint import LENGTH, fingerprint
from omapush.store import keys, own_pushes, pushes
from omapush.store.client import Store
from omapush.store.own_pushes import Place, Pruner
from tests.store.conftest import NOW_MS, Make

FOREVER = 2**52


def accepted(store: Store, make: Make, times: list[int]) -> list[Place]:
    """Pushes accepted at these times, in order of their list."""
    places = []
    for at_ms in times:
        one = make.submission()
        one = one._replace(push=one.push._replace(accepted_ms=at_ms), fingerprint=b"p" * LENGTH)
        assert pushes.accept_all(store, [one]) == [True]
        places.append(Place(at_ms, one.push.ref))
    return sorted(places, reverse=True)


def walked(store: Store, most: int, since_ms: int = 0, until_ms: int = FOREVER) -> list[Place]:
    found: list[Place] = []
    before = None
    while True:
        page = own_pushes.page(store, ["pi"], before=before, since_ms=since_ms, until_ms=until_ms, most=most)
        found += page
        if len(page) < most:
            return found
        before = page[-1]


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(times=st.lists(st.integers(0, 5), max_size=40), most=st.integers(1, 7), since=st.integers(0, 5))
def test_pages_give_each_push_once_however_many_come_in_one_millisecond(
    store: Store, make: Make, times: list[int], most: int, since: int
) -> None:
    store.db.flushall()
    places = accepted(store, make, [NOW_MS + at_ms for at_ms in times])

    assert walked(store, most) == places
    assert walked(store, most, NOW_MS + since, NOW_MS + 3) == [
        place for place in places if NOW_MS + since <= place.accepted_ms <= NOW_MS + 3
    ]


def test_what_is_forgotten_is_pruned_and_nothing_else(
    store: Store, make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(own_pushes, "_PRUNED", 2)
    places = accepted(store, make, [NOW_MS + number // 3 for number in range(60)])
    gone = set(places[::2])
    for _, ref in gone:
        store.db.delete(keys.push(store.layout.push_shard(ref), ref))

    pruner = Pruner(store, ["pi", "other"])
    rounds = 0
    while pruner.prune(NOW_MS + 5) or rounds < 3:
        rounds += 1
        assert rounds < 100

    left = walked(store, 100)
    assert left == [place for place in places if place not in gone or place.accepted_ms > NOW_MS + 5]
    assert 0 < int(store.db.ttl(keys.own(store.layout.push_shard(left[0].ref), "pi"))) <= 31 * 86_400


def test_the_fingerprint_of_a_known_push_is_remembered(store: Store, make: Make) -> None:
    (place,) = accepted(store, make, [NOW_MS])

    assert own_pushes.fingerprint(store, place.ref) == b"p" * LENGTH
    assert own_pushes.fingerprint(store, "0" * 20) is None


@given(one=st.text(max_size=3), two=st.text(max_size=3), content=st.binary(max_size=3))
def test_fingerprints_are_the_same_for_the_same_only(one: str, two: str, content: bytes) -> None:
    def print_of(address: str, kind: str, data: bytes, push_id: str = "a") -> bytes:
        return fingerprint(Offer(push_id, (address,), "mms.ua", kind, data))

    assert print_of(one, two, content) == print_of(one, two, content, "another push-id")
    assert (print_of(one, two, content) == print_of(two, one, content)) == (one == two)
    assert print_of(one, two, content) != print_of(one, two, content + b"x")


def test_the_very_push_that_is_stored_is_told_from_another_of_the_same_name(store: Store, make: Make) -> None:
    one = make.submission()
    assert not own_pushes.is_stored(store, one.push)
    pushes.accept_all(store, [one])

    assert own_pushes.is_stored(store, one.push)
    assert not own_pushes.is_stored(store, one.push._replace(order_us=one.push.order_us + 1))
