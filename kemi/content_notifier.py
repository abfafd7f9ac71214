"""Pushes that leave as NOTIFYs: numbered, in order, in each subscription of a user in turn."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import device_facts
from batch import Batch
from gate import Gate
from hops import Way
from knowledge import Known
from links import LARGEST_LINK, Links
from msgspec.structs import replace
from outgoing import Outgoing
from salvo import Salvo
from sent import InSubscription
from settings import Settings

from omapush import clock, log
from omapush.errors import PeerIsWrong, PushRefused, TooLarge
from omapush.push import notify_mode, outcome
from omapush.push.dialog import next_hop_of
from omapush.push.method_choice import Choice
from omapush.push.outcome import Outcome, Reply
from omapush.push.refused_method import is_method, is_refused
from omapush.push.request import Request
from omapush.push.subscription import Subscription, is_live
from omapush.store import contents, finish, outbox, outbox_views, subscriptions
from omapush.store.client import Store
from omapush.store.outbox import Taken
from omapush.store.subscriptions import Begun

_MOST_REMEMBERED = 10_000
"Tickets that gave way; without them one gives way once more."
_BUSY_DIALOG_MS = 20
"Wait for a dialog in which another NOTIFY is under way."


def _of_subscriptions(one: Taken) -> list[int]:
    """What subscriptions of the user answered to a push so far."""
    return [told.sip_code for told in one.told if not is_method(told.name)]


def is_all_told(one: Taken, choice: Choice, *, is_late: bool) -> bool:
    """
    Tell whether a push that went to several subscriptions ends with what they answered.

    Not while there is another one; nor when all have refused its form and another way is chosen.
    """
    answers = _of_subscriptions(one)
    if not answers or (choice.method == "NOTIFY" and not is_late):
        return False
    return is_late or choice.method is None or not all(is_refused(code) for code in answers)


class Chosen(NamedTuple):
    """A delivery, and the method that was chosen for it."""

    taken: Taken
    known: Known
    choice: Choice

    @property
    def subscription(self) -> Subscription:
        """In which a NOTIFY goes."""
        subscription = self.choice.subscription
        assert subscription is not None  # noqa: S101 - a choice of NOTIFY has it
        return subscription

    @property
    def next_hop(self) -> str:
        """Where a NOTIFY goes first."""
        return next_hop_of(self.subscription.dialog)


class ContentNotifier:
    """Part of a sender process."""

    def __init__(self, settings: Settings, store: Store, gate: Gate, outgoing: Outgoing) -> None:
        self._settings = settings
        self._store = store
        self._gate = gate
        self._outgoing = outgoing
        self._transaction_ms = settings.config.delivery.transaction_s * 1000
        self._links = Links(settings, store)
        self._gave_way: set[str] = set()

    def notify_all(self, wanted: Sequence[Chosen], batch: Batch) -> None:
        """Send these pushes, each in its subscription; numbers are taken for all of them in one go."""
        going: list[tuple[Chosen, Way]] = []
        now_ms = clock.now_ms()
        late = self._overtaking([chosen.taken for chosen in wanted])
        for chosen in wanted:
            ticket = chosen.taken.ticket
            if ticket in late:
                batch.give_way(chosen.taken)
                continue
            length = LARGEST_LINK if chosen.choice.link else chosen.taken.delivery.length
            way = self._gate.way(chosen.next_hop, length, chosen.known.path_failures)
            if wait_ms := self._gate.wait_ms(way, ticket):
                batch.put_off(ticket, wait_ms)
            elif not way.address:
                batch.end(self._outgoing.not_sent(chosen.taken, now_ms, way.why))
            else:
                going.append((chosen, way))
        self._begin(going, batch)

    def _begin(self, going: Sequence[tuple[Chosen, Way]], batch: Batch) -> None:
        begun = subscriptions.begin_notifies(
            self._store, [one.subscription.id for one, _ in going], transaction_ms=self._transaction_ms
        )
        with Salvo(self._outgoing, batch) as salvo:
            for (chosen, way), begin in zip(going, begun, strict=True):
                if begin is None:
                    batch.choose_again(chosen.taken.ticket)
                elif not begin.cseq:
                    batch.put_off(chosen.taken.ticket, _BUSY_DIALOG_MS)
                else:
                    self._notify(chosen, begin, way, batch, salvo)
        numbers = [(one.notify.id, one.notify.cseq) for one in salvo.unsent if one.notify]
        if numbers:
            subscriptions.end_notifies(self._store, numbers)

    def _overtaking(self, wanted: Sequence[Taken]) -> set[str]:
        """
        Return the tickets of pushes that would overtake earlier ones to the same user and application.

        Those are held, as when the device has just subscribed. Each gives way once: what is held again after
        that has another reason.
        """
        asked = [one for one in wanted if not one.delivery.subscription and one.ticket not in self._gave_way]
        held = outbox_views.held_before(self._store, [one.ticket for one in asked]) if asked else []
        names = [name for found in held for name in found]
        if not names:
            return set()
        earlier = dict(zip(names, outbox.read(self._store, names), strict=True))
        late = {
            one.ticket
            for one, found in zip(asked, held, strict=True)
            if any(
                (delivery := earlier[name]) is not None and delivery.application == one.delivery.application
                for name in found
            )
        }
        if len(self._gave_way) > _MOST_REMEMBERED:
            self._gave_way.clear()
        self._gave_way |= late
        return late

    def _notify(self, chosen: Chosen, begun: Begun, way: Way, batch: Batch, salvo: Salvo) -> None:
        one, known, choice = chosen
        sub, now_ms = begun.subscription, clock.now_ms()
        if not is_live(sub, now_ms):  # it ended between the two looks
            subscriptions.end_notifies(self._store, [(sub.id, begun.cseq)])
            batch.choose_again(one.ticket)
            return
        told = {each.name for each in one.told}
        others = any(not is_method(name) for name in told) or any(
            each.id not in (sub.id, *told) for each in known.subscriptions if not one.delivery.subscription
        )
        try:
            request = self._compose_notify(chosen, sub, begun.cseq, now_ms)
            request = replace(request, next_hop=way.next_hop, address=way.address)
        except TooLarge as error:
            log.get().warning("subscription_dropped", subscription=sub.id, problem=str(error))
            subscriptions.remove_all(self._store, [sub.id])
            batch.choose_again(one.ticket)
            return
        except (PushRefused, PeerIsWrong) as error:  # its link cannot be made
            subscriptions.end_notifies(self._store, [(sub.id, begun.cseq)])
            verdict = Outcome(None, "undeliverable", error.pap_code, str(error))
            batch.end(self._outgoing.end(one, verdict, now_ms, sip_code=0))
            return
        notify = InSubscription(sub.id, begun.cseq, others)
        why = f"in subscription {sub.id} ({choice.why})"
        salvo.add(self._outgoing.ready(one, request, now_ms, why, notify, link=choice.link))

    def _compose_notify(self, chosen: Chosen, sub: Subscription, cseq: int, now_ms: int) -> Request:
        delivery = chosen.taken.delivery
        profile = device_facts.fitted(
            self._settings.profile(delivery.application, delivery.initiator), chosen.known.facts
        )
        if chosen.choice.link:
            delivery = self._links.linked(delivery, now_ms)
            profile, sub = profile._replace(wrapped=False, gzip=False), sub._replace(encodings=())
        elif delivery.size > len(delivery.content):
            content = contents.read(self._store, delivery.ref, 0, delivery.size)
            delivery = delivery._replace(content=content or b"")
        return notify_mode.compose(delivery, profile, sub, cseq, self._settings.notifier, now_ms)

    def all_told(self, one: Taken, now_ms: int) -> finish.Ended:
        """Return the end of a push that all subscriptions of its user answered: one that took it will do."""
        answers = _of_subscriptions(one)
        verdict = outcome.delivered_in_some(answers)
        if verdict is not None:
            return self._outgoing.end(one, verdict, now_ms, sip_code=200, method="NOTIFY")
        code = answers[0]
        verdict = self._outgoing.judge(one, Reply(code, f"in each of {len(answers)} subscriptions"), now_ms)
        return self._outgoing.end(one, verdict, now_ms, sip_code=code, method="NOTIFY")
