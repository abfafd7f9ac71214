"""Deliveries that wait because no device of their user has the application, and what wakes them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from omapush import clock, log
from omapush.errors import PushError
from omapush.push.registration import Registration, is_registered
from omapush.push.values import Delivery, Event
from omapush.store import outbox, pushes, registrations
from omapush.store.client import Store
from omapush.store.outbox import Hold


class Held(NamedTuple):
    """One delivery that a sender decided to hold."""

    ticket: str
    delivery: Delivery
    record: Registration | None
    "The registration that was decided on."
    at_ms: int
    again_ms: int
    "When to look again though nothing woke it; deliver-before at the latest."
    why: str
    on_change: bool = True
    "It waits for devices or subscriptions, too, and not only for its time."
    is_told: bool = False
    "Its push knows already: another line of the event log says it."


class Absent(NamedTuple):
    """One delivery whose try found the device away."""

    ticket: str
    sent_ms: int


def store(db: Store, held: Sequence[Held]) -> int:
    """
    Hold deliveries and tell their pushes why, once for each reason to look; returns how many are new.

    A registration that changed while it was decided wakes its deliveries again here, for whoever stored it
    may have looked for held deliveries before these were.
    """
    new = outbox.hold(db, [Hold(one.ticket, one.again_ms) for one in held])
    notes = [_note(one) for one, is_new in zip(held, new, strict=True) if is_new and not one.is_told]
    if notes:
        pushes.note(db, notes)
    aors = list(dict.fromkeys(one.delivery.aor for one in held))
    now = dict(zip(aors, registrations.read_readable(db, aors), strict=True))
    outbox.wake_targets(
        db, dict.fromkeys(one.delivery.aor for one in held if now[one.delivery.aor] != one.record)
    )
    return len(notes)


def wake(db: Store, aors: Iterable[str]) -> None:
    """Queue at once what is held for users whom something changed for; failures are left to the re-check."""
    try:
        outbox.wake_targets(db, aors)
    except PushError as error:
        log.get().warning("held_not_woken", problem=str(error), action="looked at again later")


def wake_returned(db: Store, absent: Sequence[Absent]) -> None:
    """
    Queue again what found its device away though the user registered while it was under way.

    Whoever stored that registration may have looked for what waits before this did.
    """
    deliveries = outbox.read(db, [one.ticket for one in absent])
    sent = {d.aor: one.sent_ms for one, d in zip(absent, deliveries, strict=True) if d is not None}
    records = registrations.read_readable(db, list(sent))
    back = [r.aor for r in records if r is not None and r.at_ms >= sent[r.aor] and is_registered(r, r.at_ms)]
    if back:
        outbox.wake_targets(db, back, only_tried=True)


def _note(one: Held) -> tuple[str, Event]:
    change = "until devices or subscriptions change, " if one.on_change else ""
    text = f"{one.why}; {change}looked at again at {clock.iso(one.again_ms)}"
    return one.delivery.ref, Event(one.at_ms, one.delivery.recipient, "held", text)
