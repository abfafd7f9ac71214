"""Limits of initiators: counted once for all api processes, and counted down as results are stored."""

import threading
from typing import cast

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from omapush import clock
from omapush.push.limits import LIMITS, InitiatorLimits
from omapush.push.values import Event, Result
from omapush.store import keys, limits, pushes
from omapush.store.client import Store
from omapush.store.limits import Admission
from omapush.store.pushes import Stored
from tests.store.conftest import NOW_MS, Make

PI = "pi"
DAY_S = 86_400


def wanted(deliveries: int = 1, *, outstanding: int | None = None, **most: float) -> Admission:
    own = InitiatorLimits(**most)  # type: ignore[arg-type]
    return Admission(PI, own, deliveries, deliveries if outstanding is None else outstanding)


def admitted(store: Store, number: int, one: Admission) -> int:
    """How many of so many equal submissions are let in."""
    return sum(limits.admit(store, one) is None for _ in range(number))


def stored(store: Store, make: Make, *aors: str) -> str:
    """A push of the initiator that is stored and counted."""
    one = make.submission(*aors)
    pushes.accept_all(store, [one])
    limits.mark(store, [(one.push.ref, PI)])
    return one.push.ref


def ended(store: Store, ref: str, index: int = 0, *, final: bool = True) -> None:
    result = Result("delivered" if final else "pending", "1000", "", "MESSAGE", 200, 1, NOW_MS)
    event = Event(NOW_MS, index, "final", "")
    pushes.store_results(store, [Stored(ref, index, result, final, event)], now_ms=NOW_MS, retention_s=60)


def test_a_burst_is_let_in_and_the_next_is_told_when_it_may_come(store: Store) -> None:
    slow = wanted(rate=0.1, burst=3)

    assert admitted(store, 3, slow) == 3
    reached = limits.admit(store, slow)
    assert reached is not None
    assert reached.limit == "rate"
    assert 9_000 < reached.wait_ms <= 10_000


def test_what_was_refused_counts_for_nothing(store: Store) -> None:
    assert admitted(store, 1_000, wanted(rate=0.01, burst=2)) == 2
    usage = limits.usage(store, [PI], clock.now_ms())[PI]
    assert (usage.outstanding, usage.today) == (2, 2)
    assert usage.refused == {"rate": 998, "outstanding": 0, "daily": 0}


def test_a_push_larger_than_the_burst_needs_all_of_it_and_is_paid_for_afterwards(store: Store) -> None:
    assert admitted(store, 2, wanted(10, rate=1, burst=5)) == 1
    reached = limits.admit(store, wanted(rate=1, burst=5))
    assert reached is not None
    assert 5_000 < reached.wait_ms <= 6_000


def test_the_daily_limit_is_told_until_midnight(store: Store) -> None:
    assert admitted(store, 5, wanted(2, daily=7)) == 3
    reached = limits.admit(store, wanted(2, daily=7))
    assert reached is not None
    assert reached.limit == "daily"
    assert 0 < reached.wait_ms <= DAY_S * 1000
    assert limits.admit(store, wanted(1, daily=7)) is None


def test_another_day_begins_at_zero(store: Store) -> None:
    assert admitted(store, 2, wanted(daily=1)) == 1
    store.db.hincrby(keys.limits(PI), "day", -1)

    assert admitted(store, 2, wanted(daily=1)) == 1


def test_results_make_room_for_more_each_once(store: Store, make: Make) -> None:
    few = wanted(outstanding=None)._replace(limits=InitiatorLimits(outstanding=2))
    assert admitted(store, 3, few) == 2
    refs = [stored(store, make), stored(store, make)]
    for _ in range(2):
        ended(store, refs[0])
    ended(store, refs[1], final=False)

    assert limits.catch_up(store, [PI]) == {PI: 1}
    assert admitted(store, 2, few) == 1
    assert limits.catch_up(store, [PI]) == {PI: 2}


def test_each_recipient_counts_and_marking_twice_does_not(store: Store, make: Make) -> None:
    limits.admit(store, wanted(3)._replace(limits=InitiatorLimits(outstanding=3)))
    ref = stored(store, make, *(f"sip:{n}@home1.example" for n in range(3)))
    limits.mark(store, [(ref, PI)])
    for index in (0, 2):
        ended(store, ref, index)

    assert limits.catch_up(store, [PI]) == {PI: 1}


def test_a_push_without_a_limit_is_not_counted(store: Store, make: Make) -> None:
    one = make.submission()
    pushes.accept_all(store, [one])
    ended(store, one.push.ref)

    names = {str(name, "ascii").partition(":")[0] for name in cast("list[bytes]", store.db.keys("*"))}
    assert not names & {"quota", "limits"}


def test_what_is_given_back_may_be_used_again(store: Store) -> None:
    few = Admission(PI, InitiatorLimits(rate=0.001, burst=2, outstanding=2, daily=2), 2, 2)
    assert limits.admit(store, few) is None
    assert limits.admit(store, few) is not None
    limits.give_back(store, few)

    assert limits.admit(store, few) is None


def test_what_an_api_let_in_and_never_stored_is_forgotten_after_a_quiet_time(store: Store) -> None:
    few = Admission(PI, InitiatorLimits(outstanding=1), 1, 1)
    assert admitted(store, 2, few) == 1
    assert limits.catch_up(store, [PI]) == {PI: 1}
    store.db.hincrby(keys.limits(PI), "admitted_ms", -20_000)

    assert limits.catch_up(store, [PI]) == {PI: 0}
    assert admitted(store, 2, few) == 1


def test_several_api_processes_let_in_no_more_than_one_would(store: Store, other_store: Store) -> None:
    few = Admission(PI, InitiatorLimits(outstanding=20), 1, 1)
    let_in: list[int] = []
    threads = [
        threading.Thread(target=lambda one=one: let_in.append(admitted(one, 50, few)))
        for one in (store, other_store)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sum(let_in) == 20


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    own=st.builds(
        InitiatorLimits,
        st.sampled_from([0.0, 0.001, 5.0, 1e6]),
        st.integers(1, 50),
        st.integers(0, 40),
        st.integers(0, 40),
    ),
    sizes=st.lists(st.integers(1, 30), max_size=20),
)
def test_no_limit_is_ever_passed(store: Store, own: InitiatorLimits, sizes: list[int]) -> None:
    store.db.flushdb()
    began = clock.monotonic()
    let_in = [size for size in sizes if limits.admit(store, Admission(PI, own, size, size)) is None]
    passed_s = clock.monotonic() - began

    if own.outstanding:
        assert sum(let_in) <= own.outstanding
    if own.daily:
        assert sum(let_in) <= own.daily
    if own.rate and let_in:
        assert sum(let_in[:-1]) <= own.burst + own.rate * passed_s + max(let_in)
    usage = limits.usage(store, [PI], clock.now_ms())[PI]
    assert usage.today == usage.outstanding == sum(let_in)
    assert sum(usage.refused[limit] for limit in LIMITS) == len(sizes) - len(let_in)


@pytest.mark.parametrize(("minute", "expected"), [("now", 5), ("one ago", 5), ("two ago", 0)])
def test_the_last_whole_minute_is_told(store: Store, minute: str, expected: int) -> None:
    limits.admit(store, wanted(5))
    ago = {"now": 1, "one ago": 1, "two ago": 3}[minute]
    now_ms = clock.now_ms() + ago * 60_000

    assert limits.usage(store, [PI], now_ms)[PI].last_minute == expected
