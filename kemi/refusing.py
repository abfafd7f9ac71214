"""Answers by which a device refuses one way of a push, so that the next one is tried."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from sent import Answered, Sent

from omapush.push.refused_method import is_refused
from omapush.push.values import Event, ticket_delivery
from omapush.store import pushes
from omapush.store.client import Store


class WayRefused(NamedTuple):
    """One push whose way was refused."""

    sent: Sent
    answered: Answered


def is_way_refused(sent: Sent, answered: Answered) -> bool:
    """Tell whether the answer refuses the way, and there is another one."""
    if answered.local or answered.is_for_a_time:
        return False
    return sent.another and is_refused(answered.sip_code)


def note(db: Store, refused: Sequence[WayRefused]) -> None:
    """Write a line into the event log of each push."""
    if refused:
        pushes.note(db, [_note(one) for one in refused])


def _note(one: WayRefused) -> tuple[str, Event]:
    ref, index = ticket_delivery(one.sent.ticket)
    answered = one.answered
    said = f"{answered.sip_code} {answered.reason}".strip()
    warning = f" ({answered.warning})" if answered.warning else ""
    text = f"{one.sent.way} refused with {said}{warning}: the next method is tried"
    return ref, Event(answered.at_ms, index, "reply", text)
