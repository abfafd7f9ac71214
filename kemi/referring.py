"""REFER: begun by a sender for a push that waits, followed by the process that stores SUBSCRIBEs."""

from __future__ import annotations

import base64
import secrets
from collections.abc import Iterable, Mapping
from functools import partial
from typing import NamedTuple

import holding
import KSR
import ksr_reader
import ksr_writer
import suspended
from sent import Answered
from settings import Settings
from traced import marks

from omapush import clock, log
from omapush.errors import PushError
from omapush.push import referral as rules
from omapush.push.inbound import Answer
from omapush.push.referral import Referral, Told
from omapush.push.registration import Registration
from omapush.push.request import Request
from omapush.push.subscription import Subscription
from omapush.push.values import Event, ticket_delivery
from omapush.store import codec, pushes, referrals
from omapush.store.client import Store
from omapush.store.outbox import Taken

ANSWERS = "referred"
NOTIFIES = "refer_notifies"
REFERENCE = "r|"
"How references of REFERs begin."
_MOST_AT_ONCE = 128
_NOT_SENT = 503


class Reference(NamedTuple):
    """What comes back with the final answer to a REFER."""

    referral_id: str
    cseq: int

    def pack(self) -> str:
        """Return the reference as text."""
        return f"{REFERENCE}{self.referral_id}|{self.cseq}"

    @staticmethod
    def unpack(text: str) -> Reference:
        """Return what `pack` packed."""
        _, referral_id, cseq = text.split("|")
        return Reference(referral_id, int(cseq))


def begin(
    settings: Settings, store: Store, one: Taken, record: Registration | None, now_ms: int
) -> tuple[Referral, Request] | None:
    """
    Store a new referral and return it with its REFER, not sent yet; None when another is under way.

    Raises:
        TooLarge: the way to the user does not fit into a request.
    """
    delivery, section = one.delivery, settings.config.subscriptions
    referral, request = rules.begin(
        delivery.aor,
        delivery.application,
        one.ticket,
        sender=settings.sender,
        s_cscf=record.s_cscf if record else "",
        refer_to=delivery.aor if section.refer_to == "user" else settings.sender.uri,
        token=secrets.token_hex(8),
        now_ms=now_ms,
        transaction_ms=settings.config.delivery.transaction_s * 1000,
        wait_ms=int(section.refer_wait_s * 1000),
    )

    def rule(old: Referral | None) -> Referral | None:
        return None if rules.is_waited_for(old, now_ms) else referral

    changed = referrals.change_all(store, {referral.id: rule})
    return (referral, request) if referral.id in changed else None


def send(referral: Referral, request: Request) -> None:
    """Send a REFER; one that cannot be sent is answered here as a silent next hop would."""
    lifetime_s = (max(0, referral.deadline_ms - clock.now_ms()) + referral.wait_ms) // 1000
    marks.mark(request.call_id, *ticket_delivery(referral.ticket), referral.aor, lifetime_s)
    reference = Reference(referral.id, referral.dialog.local_cseq).pack()
    if not ksr_writer.send(request, reference):
        unsent = Answered(_NOT_SENT, True, clock.now_ms(), "", "could not be sent", "")
        KSR.mqueue.mq_add(ANSWERS, reference, unsent.pack())


def pack_told(told: Told) -> str:
    """Return a NOTIFY as text for the queue."""
    return base64.b64encode(codec.encode(told)).decode()


class ReferralCompleter:
    """Stores what answers to REFERs, NOTIFYs and SUBSCRIBEs mean for referrals, and wakes what waits."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def run_once(self) -> int:
        """Work off what waits, up to a bound; returns how much. Without Redis a NOTIFY is answered 503."""
        return self._take_answers() + self._take_notifies()

    def _take_answers(self) -> int:
        found: dict[str, tuple[Reference, Answered]] = {}
        while len(found) < _MOST_AT_ONCE and (queued := ksr_reader.next_queued(ANSWERS)):
            reference = Reference.unpack(queued[0])
            found[reference.referral_id] = reference, Answered.unpack(queued[1])
        if found:
            self._change({name: partial(_answered, *one) for name, one in found.items()})
        return len(found)

    def _take_notifies(self) -> int:
        taken = 0
        while taken < _MOST_AT_ONCE and (queued := suspended.next_waiting(NOTIFIES)):
            transaction, told = queued[0], codec.told(base64.b64decode(queued[1]))
            taken += 1
            try:
                suspended.resume(transaction, suspended.with_headers(self._told(told), told.answer_headers))
            except PushError as error:
                log.get().warning("notify_not_stored", problem=str(error), refused=1)
                suspended.refuse(transaction)
        return taken

    def _told(self, told: Told) -> Answer:
        answer = Answer(500, "Server Internal Error")

        def rule(old: Referral | None) -> Referral | None:
            nonlocal answer
            answer, new = rules.on_told(old, told)
            return new

        self._follow(referrals.change_all(self._store, {rules.id_of_call(told.call_id): rule}))
        return answer

    def subscribed(self, subscriptions: Iterable[Subscription], now_ms: int) -> None:
        """Note for referrals that the SUBSCRIBE they asked for is here; what waits for it is woken."""
        found = [one for one in subscriptions if one.application]
        self._change(
            {rules.referral_id(one.aor, one.application): partial(_subscribed, now_ms) for one in found}
        )
        holding.wake(self._store, dict.fromkeys(one.aor for one in found))

    def _change(self, by_id: Mapping[str, referrals.Rule]) -> None:
        """What is not stored here is found when the time of the referral is over."""
        try:
            self._follow(referrals.change_all(self._store, by_id))
        except PushError as error:
            log.get().warning("referral_not_stored", problem=str(error), number=len(by_id))

    def _follow(self, changed: Mapping[str, Referral]) -> None:
        """Tell the pushes that they began for, and wake what waits where it is decided."""
        if not changed:
            return
        notes = []
        for one in changed.values():
            ref, index = ticket_delivery(one.ticket)
            notes.append((ref, Event(one.at_ms, index, "referral", one.why)))
        pushes.note(self._store, notes)
        holding.wake(
            self._store, dict.fromkeys(one.aor for one in changed.values() if one.state != "accepted")
        )


def _answered(reference: Reference, answered: Answered, old: Referral | None) -> Referral | None:
    if old is None:
        return None
    return rules.on_answer(
        old,
        reference.cseq,
        answered.sip_code,
        local=answered.local,
        reason=answered.reason,
        now_ms=answered.at_ms,
    )


def _subscribed(now_ms: int, old: Referral | None) -> Referral | None:
    return None if old is None else rules.subscribed(old, now_ms)
