"""Pushes whose spans are to be made: noted with the hand-over, lent, put off, taken out."""

from omapush.protocol.trace_context import TraceContext
from omapush.push import spans
from omapush.store import handing_over, pushes, trace_due
from omapush.store.client import Store
from omapush.store.pushes import Submission
from tests.store.conftest import NOW_MS, Make


def accepted(store: Store, make: Make, *, is_ours: bool = True) -> Submission:
    one = make.submission()
    span_id = spans.accept_id(one.push.ref) if is_ours else "1" * 16
    context = TraceContext("a" * 32, span_id, is_sampled=True)
    one = one._replace(push=one.push._replace(trace=context.pack()))
    assert pushes.accept_all(store, [one]) == [True]
    return one


def borrowed(store: Store, now_ms: int) -> list[str]:
    return trace_due.borrow(store, now_ms=now_ms, lease_ms=1_000, most=10)


def test_a_traced_push_is_due_once_it_is_handed_over(store: Store, make: Make) -> None:
    ours, theirs = accepted(store, make), accepted(store, make, is_ours=False)
    assert borrowed(store, NOW_MS + 10_000) == []

    handing_over.fresh(store, [ours, theirs], now_ms=NOW_MS, retention_s=100)
    assert borrowed(store, NOW_MS + 10_000) == [ours.push.ref]


def test_what_a_dead_api_left_is_due_when_the_sweeper_hands_it_over(store: Store, make: Make) -> None:
    one = accepted(store, make)

    handing_over.left(store, one.push.ref, now_ms=NOW_MS, retention_s=100)
    assert borrowed(store, NOW_MS + 10_000) == [one.push.ref]


def test_a_push_is_lent_once_and_comes_back_until_it_is_taken_out(store: Store, make: Make) -> None:
    one = accepted(store, make)
    handing_over.fresh(store, [one], now_ms=NOW_MS, retention_s=100)
    ref, now_ms = one.push.ref, NOW_MS + 10_000

    assert borrowed(store, now_ms) == [ref]
    assert borrowed(store, now_ms + 999) == []
    assert borrowed(store, now_ms + 1_000) == [ref]
    trace_due.put_off(store, [(ref, now_ms + 60_000)])
    assert borrowed(store, now_ms + 59_999) == []
    assert borrowed(store, now_ms + 60_000) == [ref]
    trace_due.done(store, [ref])
    trace_due.put_off(store, [(ref, now_ms)])  # by another notifier, whose lease had run out
    assert borrowed(store, now_ms + 900_000) == []
