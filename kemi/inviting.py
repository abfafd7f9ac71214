"""Pushes that travel in sessions, as a sender sees them: begun or joined, waited for, judged at the end."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

import holding
import learning
from batch import Batch, Carried
from knowledge import Known
from media_workers import MediaWorkers
from outgoing import Outgoing
from sent import Answered
from settings import Settings

from omapush import clock
from omapush.push import outcome, refused_method, session_offer
from omapush.push import session as sessions_of
from omapush.push.method_choice import Choice, has_another
from omapush.push.outcome import Outcome, Reply
from omapush.push.page_mode import Profile, accept_contact_of
from omapush.push.session import CONFIRMED, TAKEN, Ending, Session, Stream
from omapush.push.session_offer import Whom
from omapush.push.values import Event
from omapush.store import contents, finish, sessions
from omapush.store.client import Store
from omapush.store.outbox import Taken, Told
from omapush.store.sessions import Change

_LOOK_AGAIN_MS = 30_000
"A push in a session is looked at again after so long though nothing woke it."
_FULL_MS = 1_000
"The same for one that waits until its user's session has room, or is over."
_TIMEOUT = 408
_UNCONFIRMED = ("unconfirmed", "preferconfirmed")
"What initiators ask for who need no report of the device."


class Carrying(NamedTuple):
    """A delivery and the stream that carries this try of it."""

    session: Session
    stream: Stream


class Inviter:
    """Part of a sender process."""

    def __init__(self, settings: Settings, store: Store, outgoing: Outgoing) -> None:
        self._settings = settings
        self._store = store
        self._outgoing = outgoing
        self._workers = MediaWorkers(store)

    def carried(self, taken: Sequence[Taken]) -> dict[str, Carrying]:
        """Return what is carried of a batch, by ticket; mostly nothing, and then nothing is read."""
        wanted = [one for one in taken if one.session]
        found = sessions.read_all(self._store, [one.session for one in wanted])
        carrying: dict[str, Carrying] = {}
        for one, session in zip(wanted, found, strict=True):
            stream = sessions_of.stream_of(session, one.ticket, one.attempt) if session else None
            if session is not None and stream is not None:
                carrying[one.ticket] = Carrying(session, stream)
        return carrying

    def follow(self, one: Taken, known: Known, carrying: Carrying, batch: Batch) -> bool:
        """Have a delivery that is carried wait for its result, or end with it; False: choose anew."""
        session, stream = carrying
        now_ms = clock.now_ms()
        if stream.ending is None:
            why = f"in session {session.id}: {session.why}"
            batch.carry(_waits(one, known, now_ms, _LOOK_AGAIN_MS, why), _carried(one, session.id))
            return True
        if stream.ending.by == "us":
            if now_ms < one.delivery.deliver_before_ms:
                return False
            batch.end(self._end(one, outcome.expired(_TIMEOUT, held=False), stream.ending, now_ms))
            return True
        if self._is_refused(one, stream.ending):
            self._next_way(one, stream.ending, batch)
            return True
        batch.end(self._end(one, self._judged(one, stream.ending, now_ms), stream.ending, now_ms))
        return True

    def _is_refused(self, one: Taken, ending: Ending) -> bool:
        """Whether the device refuses sessions, or this file in one, and there is another way."""
        if ending.by == "sip" and outcome.is_for_a_time(ending.code, ending.retry_after_s or None):
            return False
        is_refused = refused_method.is_refused(ending.code, in_session=ending.by == "msrp")
        rules = self._settings.rules(one.delivery.application)
        return is_refused and not ending.local and has_another(one.delivery, "INVITE", rules)

    def _next_way(self, one: Taken, ending: Ending, batch: Batch) -> None:
        """Learn from a refusal by SIP, and have the method chosen anew."""
        now_ms = clock.now_ms()
        if ending.by == "sip":
            answered = Answered(ending.code, ending.local, now_ms, "", ending.why, "")
            learnt = [learning.Refused(one.ticket, answered, "INVITE")]
            learning.store(self._store, learnt, learned_s=self._settings.config.capabilities.learned_s)
        said = f"INVITE refused with {ending.code} {ending.why}".strip()
        event = Event(now_ms, one.delivery.recipient, "reply", f"{said}: the next method is tried")
        batch.note(one, event)
        batch.choose_again(one.ticket, Told("INVITE", ending.code))

    def _judged(self, one: Taken, ending: Ending, now_ms: int) -> Outcome:
        reply = Reply(
            ending.code,
            ending.why,
            ending.local,
            ending.retry_after_s or None,
            transfer=ending.by == "msrp",
        )
        return self._outgoing.judge(
            one, reply, now_ms, unconfirmed=one.delivery.delivery_method in _UNCONFIRMED
        )

    def _end(self, one: Taken, verdict: Outcome, ending: Ending, now_ms: int) -> finish.Ended:
        code = ending.code
        if ending.by != "sip":
            code = code if code in (CONFIRMED, TAKEN) else 0
        return self._outgoing.end(one, verdict, now_ms, sip_code=code, method="INVITE")

    # Begin ---------------------------------------------------------------------------------------

    def begin(self, one: Taken, known: Known, choice: Choice, profile: Profile, batch: Batch) -> None:
        """Have a delivery carried: by the session that its user has for the application, or by a new one."""
        now_ms = clock.now_ms()
        delivery = one.delivery
        living = sessions.live_of(self._store, delivery.aor, delivery.application)
        if living:
            self._join(one, known, choice, living, profile.asserted, batch)
            return
        place = self._workers.pick()
        sha1 = self._sha1(one)
        if place is None or not sha1:
            why = "no media worker has room" if place is None else "its content is not there any more"
            verdict = self._outgoing.judge(one, Reply(503, why, local=True), now_ms)
            batch.end(self._outgoing.end(one, verdict, now_ms, sip_code=0))
            return
        record = known.record
        whom = Whom(
            aor=delivery.aor,
            application=delivery.application,
            accept_contact=accept_contact_of(profile),
            asserted=profile.asserted,
            s_cscf=record.s_cscf if record else "",
        )
        session = session_offer.begin(
            whom,
            _stream(one, sha1, place),
            sender=self._settings.sender,
            place=place,
            token=secrets.token_hex(8),
            now_ms=now_ms,
        )
        if sessions.begin(self._store, session):
            self._carry(one, known, f"begins session {session.id} ({choice.why})", session.id, batch)
        else:  # another push has just begun one
            batch.choose_again(one.ticket)

    def _join(
        self, one: Taken, known: Known, choice: Choice, session_id: str, asserted: str, batch: Batch
    ) -> None:
        delivery, now_ms = one.delivery, clock.now_ms()
        [session] = sessions.read_all(self._store, [session_id])
        if session is None:
            place = sessions_of.place_of(delivery.aor, delivery.application)
            sessions.discard(self._store, session_id, place)
            batch.choose_again(one.ticket)
            return
        joined = None
        if sha1 := self._sha1(one):
            stream = _stream(one, sha1, session.place)
            rule = partial(_joined, stream, asserted, self._settings.config.sessions.files, now_ms)
            joined = sessions.change(self._store, session_id, rule)
        if joined is not None:
            self._carry(one, known, f"joins session {session_id} ({choice.why})", session_id, batch)
            return
        why = f"waits until session {session_id} is over"
        batch.hold(_waits(one, known, now_ms, _FULL_MS, why))

    def _sha1(self, one: Taken) -> str:
        """Hash of the content in hexadecimal digits; empty when the content is not there any more."""
        found = contents.describe(self._store, one.delivery.ref)
        return found.sha1.hex() if found else ""

    def _carry(self, one: Taken, known: Known, said: str, session_id: str, batch: Batch) -> None:
        now_ms = clock.now_ms()
        batch.note(one, Event(now_ms, one.delivery.recipient, "session", f"try {one.attempt} {said}"))
        why = f"in session {session_id}"
        batch.carry(_waits(one, known, now_ms, _LOOK_AGAIN_MS, why), _carried(one, session_id))


def _stream(one: Taken, sha1: str, place: sessions_of.Place) -> Stream:
    token = secrets.token_urlsafe(16)
    return session_offer.stream_of(one.delivery, one.ticket, one.attempt, sha1=sha1, place=place, token=token)


def _joined(stream: Stream, asserted: str, most: int, now_ms: int, old: Session | None) -> Change | None:
    if old is None:
        return None
    if sessions_of.stream_of(old, stream.ticket, stream.attempt) is not None:
        return None
    joined = session_offer.join(old, stream, asserted=asserted, most=most, now_ms=now_ms)
    return Change(joined) if joined else None


def _carried(one: Taken, session_id: str) -> Carried:
    return Carried(one.ticket, one.attempt, session_id, one.delivery.aor)


def _waits(one: Taken, known: Known, now_ms: int, wait_ms: int, why: str) -> holding.Held:
    return holding.Held(one.ticket, one.delivery, known.record, now_ms, now_ms + wait_ms, why)
