"""What a host has no room for waits by its name, in turn with other hosts."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from omapush.notifier.parked import Lent, Parked

NOW = 1_000


def test_hosts_take_turns_and_keep_their_order() -> None:
    parked = Parked()
    for host in ("a", "b"):
        for number in range(4):
            parked.put(host, Lent(f"{host}{number}", NOW + 1))

    def take(most: int) -> list[str]:
        return [one.member for one in parked.take(lambda _: 2, most, lasting_ms=NOW)]

    assert [take(3), take(3), take(3), take(3)] == [["a0", "b0", "a1"], ["a2", "b1", "a3"], ["b2", "b3"], []]


def test_a_host_without_room_keeps_its_own_and_what_is_ours_no_more_is_forgotten() -> None:
    parked = Parked()
    parked.put("full", Lent("f", NOW + 10))
    parked.put("free", Lent("late", NOW))
    parked.put("free", Lent("ours", NOW + 1))

    room = Counter(free=5)
    assert parked.take(lambda host: room[host], 9, lasting_ms=NOW) == [Lent("ours", NOW + 1)]
    room["full"] = 1
    assert parked.take(lambda host: room[host], 9, lasting_ms=NOW) == [Lent("f", NOW + 10)]


@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(NOW - 2, NOW + 2))), st.integers(1, 5))
def test_each_that_is_still_ours_comes_once(lent: list[tuple[str, int]], most: int) -> None:
    parked = Parked()
    for number, (host, until_ms) in enumerate(lent):
        parked.put(host, Lent(f"{number}", until_ms))
    taken: list[Lent] = []
    for _ in range(3 * len(lent) + 3):
        found = parked.take(lambda _: 2, most, lasting_ms=NOW)
        assert len(found) <= most
        taken += found
    wanted = sorted(f"{number}" for number, (_, until_ms) in enumerate(lent) if until_ms > NOW)
    assert sorted(one.member for one in taken) == wanted
