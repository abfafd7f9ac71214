"""The end of a try, stored: result and event at the push, then the user's queue moves on."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct
from msgspec.structs import replace

from omapush.push.outcome import Outcome
from omapush.push.values import Event, Result, ticket_delivery
from omapush.store import outbox, pushes
from omapush.store.client import Store


class Ended(Struct, frozen=True, gc=False):
    """One try that came to its end."""

    ticket: str
    outcome: Outcome
    method: str
    "Empty when nothing was sent."
    sip_code: int
    attempt: int
    at_ms: int
    said: str
    "What happened, for the event log."
    carried: str = ""
    "How it travelled, for its event data record (`push/event_record.py`); empty: not known, or it did not."


def store(db: Store, ended: Sequence[Ended], *, retention_s: int) -> None:
    """
    Store results, each at most once.

    The push comes first: a crash between the two steps leaves the delivery marked as taken, and whoever
    finds it there sees that its result is final already and sends nothing (docs/adr/0003).
    """
    now_ms = max(one.at_ms for one in ended)
    results = [_stored(one) for one in _with_subscribers(db, ended)]
    pushes.store_results(db, results, now_ms=now_ms, retention_s=retention_s)
    outbox.complete(
        db,
        (outbox.Finished(one.ticket, one.outcome.retry_at_ms or 0, one.outcome.on_change) for one in ended),
    )


def _with_subscribers(db: Store, ended: Sequence[Ended]) -> Sequence[Ended]:
    """
    Add the user to the text about a failed delivery to a subscriber, since nothing else about it is kept.
    """
    failed = [one for one in ended if one.outcome.retry_at_ms is None and one.outcome.state != "delivered"]
    if not failed:
        return ended
    found = outbox.read(db, [one.ticket for one in failed])
    whom = {
        one.ticket: delivery.aor
        for one, delivery in zip(failed, found, strict=True)
        if delivery is not None and delivery.subscription
    }
    return [
        replace(one, said=f"{whom[one.ticket]}: {one.outcome.code} {one.said}") if one.ticket in whom else one
        for one in ended
    ]


def _stored(one: Ended) -> pushes.Stored:
    ref, index = ticket_delivery(one.ticket)
    outcome = one.outcome
    is_final = outcome.retry_at_ms is None
    result = Result(
        outcome.state, outcome.code, outcome.desc, one.method, one.sip_code, one.attempt, one.at_ms
    )
    event = Event(one.at_ms, index, "final" if is_final else "retry", one.said)
    return pushes.Stored(ref, index, result, is_final, event, one.carried)
