"""Deliveries that wait because no device of their user has the application, and what wakes them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from omapush import clock, log
from omapush.errors import PushError
from omapush.push.registration import Registration
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


def store(db: Store, held: Sequence[Held]) -> int:
    """
    Hold deliveries and tell their pushes why, once for each reason to look; returns how many are new.

    A registration that changed while it was decided wakes its deliveries again here, for whoever stored it
    may have looked for held deliveries before these were.
    """
    new = outbox.hold(db, [Hold(one.ticket, one.again_ms) for one in held])
    notes = [_note(one) for one, is_new in zip(held, new, strict=True) if is_new]
    if notes:
        pushes.note(db, notes)
    aors = list(dict.fromkeys(one.delivery.aor for one in held))
    now = dict(zip(aors, registrations.read_readable(db, aors), strict=True))
    outbox.wake_targets(
        db, dict.fromkeys(one.delivery.aor for one in held if now[one.delivery.aor] != one.record)
    )
    return len(notes)


def wake(db: Store, aors: Iterable[str]) -> None:
    """Queue at once what is held for users whose registrations changed; a failure is left to the re-check."""
    try:
        outbox.wake_targets(db, aors)
    except PushError as error:
        log.get().warning("held_not_woken", problem=str(error), action="looked at again later")


def _note(one: Held) -> tuple[str, Event]:
    text = f"{one.why}; until devices or subscriptions change, looked at again at {clock.iso(one.again_ms)}"
    return one.delivery.ref, Event(one.at_ms, one.delivery.recipient, "held", text)
