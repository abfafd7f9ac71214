"""Spans that tell afterwards what happened to a push."""

from omapush.protocol.trace_context import TraceContext
from omapush.push import spans
from omapush.push.spans import Span
from omapush.push.values import Event, Result, push_ref
from tests.harness.values import a_push

REF = push_ref("pi", "1")
CONTEXT = TraceContext("a" * 32, spans.accept_id(REF), True, "v=1")
PUSH = a_push(ref=REF, accepted_ms=1_000, deliver_before_ms=9_000)
DELIVERED = Result("delivered", "1000", "200 OK", "MESSAGE", 200, 2, 1_900)
EVENTS = (
    Event(1_000, -1, "accepted", "1 recipient(s)"),
    Event(1_010, 0, "held", "no device"),
    Event(1_100, 0, "sent", "MESSAGE try 1 to sip:h (why)"),
    Event(1_400, 0, "retry", "timeout 5028 (480 Temporarily Unavailable) after 300 ms; try 2 at"),
    Event(1_800, 0, "sent", "MESSAGE try 2 to sip:h (why)"),
    Event(1_900, 0, "final", "delivered 1000 (200 OK) after 100 ms"),
    Event(1_950, 1, "sent", "NOTIFY try 1 to sip:h (why)"),
)


def made(*results: Result, events: tuple[Event, ...] = EVENTS) -> list[Span]:
    return list(spans.of_deliveries(CONTEXT, PUSH, results, events))


def test_each_try_is_a_wait_and_an_exchange_inside_its_delivery() -> None:
    delivery, *inner = made(DELIVERED)

    assert (delivery.name, delivery.parent_id, delivery.span_id) == (
        "push delivery",
        CONTEXT.span_id,
        spans.delivery_id(REF, 0),
    )
    assert (delivery.start_us, delivery.end_us, delivery.error) == (1_000_000, 1_900_000, "")
    assert [(one.name, one.start_us // 1_000, one.end_us // 1_000, one.error) for one in inner] == [
        ("outbox", 1_000, 1_100, ""),
        ("MESSAGE", 1_100, 1_400, "SIP 480"),
        ("outbox", 1_400, 1_800, ""),
        ("MESSAGE", 1_800, 1_900, ""),
    ]
    assert {one.parent_id for one in inner} == {delivery.span_id}
    assert {(one.trace_id, one.state) for one in (delivery, *inner)} == {("a" * 32, "v=1")}
    assert len({one.span_id for one in (delivery, *inner)}) == 5
    assert [name for _, name in delivery.events] == ["held", "sent", "retry", "sent", "final"]


def test_the_same_push_gives_the_same_spans_again() -> None:
    assert made(DELIVERED) == made(DELIVERED)
    other = PUSH._replace(ref=push_ref("pi", "2"))
    ids = {one.span_id for one in spans.of_deliveries(CONTEXT, other, [DELIVERED], EVENTS)}
    assert not ids & {one.span_id for one in made(DELIVERED)}


def test_what_failed_says_so_and_nobody_is_named() -> None:
    failed = Result("undeliverable", "2006", "sip:ann@h refused", "MESSAGE", 415, 1, 1_500)
    events = (EVENTS[2], Event(1_500, 0, "final", "undeliverable 2006: sip:ann@h (415 Unsupported)"))
    delivery, _, exchange = made(failed, events=events)

    assert (delivery.error, exchange.error) == ("undeliverable 2006", "SIP 415")
    assert delivery.attributes["omapush.sip.status"] == 415
    assert "ann" not in str((delivery, exchange))


def test_an_exchange_that_nobody_ended_is_left_out() -> None:
    names = [one.name for one in made(DELIVERED, DELIVERED) if one.span_id != spans.delivery_id(REF, 0)]

    assert names == ["outbox", "MESSAGE", "outbox", "MESSAGE", "push delivery", "outbox"]


def test_of_very_many_recipients_only_some_get_spans() -> None:
    results = [DELIVERED] * (spans.MOST_DELIVERIES + 5)

    assert len(list(spans.of_deliveries(CONTEXT, PUSH, results, ()))) == spans.MOST_DELIVERIES


def test_a_push_has_spans_of_its_own_only_in_our_context() -> None:
    own = PUSH._replace(trace=CONTEXT.pack())

    assert spans.has_own(own)
    assert spans.context_of(own) == CONTEXT
    assert not spans.has_own(PUSH)
    assert not spans.has_own(PUSH._replace(trace=CONTEXT._replace(span_id="1" * 16).pack()))
    assert not spans.has_own(PUSH._replace(trace=CONTEXT._replace(is_sampled=False).pack()))
