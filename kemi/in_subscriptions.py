"""Answers to NOTIFYs that carried pushes: what they mean for the subscriptions in which they went."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from sent import Answered, InSubscription, Sent

from omapush.push.subscription import ends_it
from omapush.push.values import Event, ticket_delivery
from omapush.store import pushes, subscriptions
from omapush.store.client import Store
from omapush.store.outbox import Told


class AnsweredNotify(NamedTuple):
    """One NOTIFY with content that has its final answer."""

    sent: Sent
    notify: InSubscription
    answered: Answered


class Again(NamedTuple):
    """The delivery goes on: its method is chosen anew."""

    told: Told | None
    "What this subscription answered, to be remembered; None: it is no subscription any more."


def chosen_again(notify: InSubscription, answered: Answered) -> Again | None:
    """
    Return that the delivery goes on though its NOTIFY was answered; None: the answer is its result.

    An answer that ends the subscription makes another way be chosen; where the user has several, the next one
    is told.
    """
    if ends_it(answered.sip_code):
        return Again(None)
    return Again(Told(notify.id, answered.sip_code)) if notify.others else None


def store(db: Store, answered: Sequence[AnsweredNotify]) -> None:
    """Free the dialogs for their next NOTIFY, and end those that the answer ends; twice does no harm."""
    if not answered:
        return
    subscriptions.end_notifies(db, [(one.notify.id, one.notify.cseq) for one in answered])
    over = [one for one in answered if ends_it(one.answered.sip_code)]
    if over:
        subscriptions.remove_all(db, [one.notify.id for one in over])
    notes = [_note(one) for one in answered if chosen_again(one.notify, one.answered) is not None]
    if notes:
        pushes.note(db, notes)


def _note(one: AnsweredNotify) -> tuple[str, Event]:
    ref, index = ticket_delivery(one.sent.ticket)
    answered = one.answered
    said = "no answer" if answered.local else f"{answered.sip_code} {answered.reason}".strip()
    ended = ", the subscription has ended" if ends_it(answered.sip_code) else ""
    text = f"NOTIFY in subscription {one.notify.id}: {said}{ended}; chosen again"
    return ref, Event(answered.at_ms, index, "reply", text)
