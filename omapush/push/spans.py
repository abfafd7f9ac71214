"""
What happened to a push as spans of a trace, made from its event log once it is over.

Ids are made from the names of things, so that a span that is made twice is the same one, and a process that
tells the initiator a result knows the span of its delivery without asking anybody.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Sequence
from typing import Final, Literal, NamedTuple

from omapush.protocol import trace_context
from omapush.protocol.trace_context import TraceContext
from omapush.push import event_order
from omapush.push.values import PENDING, Event, Push, Result

Kind = Literal["server", "client", "internal"]
Attributes = dict[str, str | int]

MOST_DELIVERIES: Final = 500
"Recipients of one push whose deliveries become spans."
_ENDS_A_TRY: Final = frozenset({"reply", "final", "retry"})
_SIP_CODE: Final = re.compile(r"\(([1-6][0-9]{2})\b")
_FINE: Final = ("delivered", PENDING)


class Span(NamedTuple):
    """One span."""

    name: str
    kind: Kind
    trace_id: str
    span_id: str
    parent_id: str
    "Empty: it is the first of its trace."
    start_us: int
    end_us: int
    attributes: Attributes
    error: str = ""
    "What went wrong; empty: nothing."
    state: str = ""
    "tracestate"
    events: tuple[tuple[int, str], ...] = ()
    "Time in microseconds, and name, of what happened meanwhile."


def trace_id_of(name: str) -> str:
    """Return the id of a trace that begins with us; `name` of what it is about."""
    return hashlib.blake2s(name.encode(), digest_size=16, person=b"trace").hexdigest()


def span_id_of(*names: str | int) -> str:
    """Return the id of the span of what these names stand for."""
    text = "\0".join(map(str, names)).encode()
    return hashlib.blake2s(text, digest_size=8, person=b"span").hexdigest()


def accept_id(ref: str) -> str:
    """Return the span in which a push is accepted."""
    return span_id_of(ref, "accept")


def delivery_id(ref: str, recipient: int) -> str:
    """Return the span of one delivery."""
    return span_id_of(ref, recipient, "delivery")


def context_of(push: Push) -> TraceContext | None:
    """Return the trace that a push belongs to; None: to none."""
    return trace_context.unpack(push.trace) if push.trace else None


def has_own(push: Push) -> bool:
    """Tell whether we make spans of a push; else we only pass on whose trace it is."""
    context = context_of(push)
    return context is not None and context.is_sampled and context.span_id == accept_id(push.ref)


def about(push: Push) -> Attributes:
    """Return what spans say of a push; nothing of it names a user."""
    return {
        "omapush.push.id": push.push_id,
        "omapush.push.ref": push.ref,
        "omapush.initiator": push.initiator,
        "omapush.application": push.application,
    }


def of_deliveries(
    context: TraceContext, push: Push, results: Sequence[Result], events: Sequence[Event]
) -> Iterator[Span]:
    """Give the spans of the deliveries of a push that is over, as far as its event log tells."""
    by_recipient: dict[int, list[Event]] = {}
    for event in event_order.in_order(events):
        by_recipient.setdefault(event.recipient, []).append(event)
    for index, result in enumerate(results[:MOST_DELIVERIES]):
        yield from _of_delivery(context, push, index, result, by_recipient.get(index, []))


def _of_delivery(
    context: TraceContext, push: Push, index: int, result: Result, events: Sequence[Event]
) -> Iterator[Span]:
    own_id = delivery_id(push.ref, index)
    attributes: Attributes = {
        **about(push),
        "omapush.recipient": index,
        "omapush.state": result.state,
        "omapush.code": result.code,
        "omapush.attempts": result.attempts,
        **({"omapush.method": result.method} if result.method else {}),
        **({"omapush.sip.status": result.sip_code} if result.sip_code else {}),
    }
    yield Span(
        "push delivery",
        "internal",
        context.trace_id,
        own_id,
        context.span_id,
        push.accepted_ms * 1000,
        max(result.at_ms, push.accepted_ms) * 1000,
        attributes,
        "" if result.state in _FINE else f"{result.state} {result.code}",
        context.state,
        tuple((event.at_ms * 1000, event.name) for event in events),
    )
    yield from _of_tries(context._replace(span_id=own_id), push, index, events)


def _of_tries(context: TraceContext, push: Push, index: int, events: Sequence[Event]) -> Iterator[Span]:
    """Each try: how long it waited in the outbox, and the exchange with the core."""
    since_ms, sent, number = push.accepted_ms, None, 0
    for event in events:
        if event.name == "sent":
            number += 1
            names = (push.ref, index, number)
            yield _inner("outbox", "internal", context, (*names, "outbox"), since_ms, event.at_ms)
            sent = event
        elif event.name in _ENDS_A_TRY and sent is not None:
            yield _of_exchange(context, (push.ref, index, number, "sip"), sent, event)
            sent, since_ms = None, event.at_ms


def _of_exchange(context: TraceContext, names: tuple[str | int, ...], sent: Event, ended: Event) -> Span:
    method = sent.text.partition(" ")[0]
    found = _SIP_CODE.search(ended.text)
    code = int(found[1]) if found else 0
    span = _inner(method, "client", context, names, sent.at_ms, ended.at_ms)
    attributes: Attributes = {"omapush.sip.method": method, "omapush.sip.status": code}
    return span._replace(attributes=attributes, error="" if 200 <= code < 300 else f"SIP {code or 'silence'}")


def _inner(
    name: str, kind: Kind, context: TraceContext, names: tuple[str | int, ...], start_ms: int, end_ms: int
) -> Span:
    return Span(
        name,
        kind,
        context.trace_id,
        span_id_of(*names),
        context.span_id,
        start_ms * 1000,
        max(start_ms, end_ms) * 1000,
        {},
        state=context.state,
    )
