"""The completer of sessions: answers to INVITEs and BYEs, and requests of devices in their dialogs."""

from __future__ import annotations

import base64
import random
import time
from collections import Counter, deque
from collections.abc import Mapping, Sequence
from functools import partial
from typing import NamedTuple

import in_flight
import ksr_reader
import ksr_writer
import metrics
import suspended
import window
from pace import Pace
from session_effects import Change as Seen
from session_effects import Effects
from session_keeper import ANSWERS, Reference, window_name
from settings import Settings

from omapush import clock, log
from omapush.errors import PushError
from omapush.push.inbound import Answer
from omapush.push.session import Session, id_of_call
from omapush.push.session_answers import Said, left_to_us, on_answer
from omapush.push.session_requests import Asked, comes_early, on_request
from omapush.store import client, codec, sessions
from omapush.store.sessions import Change, Moved

REQUESTS = "session_requests"
FORKS = "session_forks"
OF_A_FORK = "if|"
"Reference of what ends the dialog of a fork: its answer is of no interest."
_MOST_AT_ONCE = 128
_EARLY_S = 0.5
"How long a request waits for the answer to our INVITE that came before it: one repetition by the device."
_CARRIED_MS = 86_400_000
"A transfer that has begun goes on past deliver-before: its session ends it, after this time at the latest."


class Waiting(NamedTuple):
    """A request of a device whose transaction is suspended."""

    transaction: str
    asked: Asked
    until_s: float
    "It is answered by then, monotonic."


def pack_asked(asked: Asked) -> str:
    """Return a request as text for the queue."""
    return base64.b64encode(codec.encode(asked)).decode()


class SessionCompleter:
    """Lives in the one process that drains these queues."""

    def __init__(self, settings: Settings) -> None:
        self._store = client.connect(settings.config.redis)
        self._counts = metrics.Counts()
        self._effects = Effects(self._store, self._counts)
        self._pace = Pace()
        self._early: deque[Waiting] = deque()

    def take(self, _settings: Settings) -> None:
        """Nothing of what it does is configured."""

    def run_once(self) -> None:
        """Work off what waits; without Redis a request is answered 503."""
        while self._take_answers() + self._take_requests() + self._take_forks():
            self._pace.worked()
            if self._pace.is_over():
                break
        self._counts.flush()
        self._pace.rest()

    # Answers -------------------------------------------------------------------------------------

    def _take_answers(self) -> int:
        by_session: dict[str, list[Said]] = {}
        ended: Counter[tuple[int | str, str, int]] = Counter()
        taken, now_ms = 0, clock.now_ms()
        while taken < _MOST_AT_ONCE and (queued := ksr_reader.next_queued(ANSWERS)):
            reference, said = Reference.unpack(queued[0]), codec.said(base64.b64decode(queued[1]))
            by_session.setdefault(reference.session_id, []).append(said)
            end = in_flight.end_of(reference.sent_ms, now_ms, is_answered=not said.local)
            ended[window_name(reference.sender), reference.hop, end] += 1
            taken += 1
            code = "timeout" if said.local else str(said.code)
            self._counts.add("sip_responses_total", reference.method, code)
        if by_session:
            window.add_ended(ended)
            self._answered(by_session)
        return taken

    def _answered(self, by_session: Mapping[str, Sequence[Said]]) -> None:
        """What is not stored here is found when the request counts as lost."""
        before: dict[str, Session] = {}
        rules = {name: partial(_answers, before, said) for name, said in by_session.items()}
        try:
            changed = sessions.change_all(self._store, rules)
            self._effects.follow([Seen(before[name], one.session) for name, one in changed.items()])
            gone = [ticket for one in changed.values() for ticket in one.gone]
            if gone:
                sessions.abort(self._store, gone, "the push left the outbox meanwhile", clock.now_ms())
        except PushError as error:
            log.get().warning("session_not_stored", problem=str(error), number=len(by_session))

    # Requests ------------------------------------------------------------------------------------

    def _take_requests(self) -> int:
        for _ in range(len(self._early)):  # one that fails takes no other with it
            self._complete(self._early.popleft())
        taken = 0
        while taken < _MOST_AT_ONCE and (queued := suspended.next_waiting(REQUESTS)):
            asked = codec.asked(base64.b64decode(queued[1]))
            self._complete(Waiting(queued[0], asked, time.monotonic() + _EARLY_S))
            taken += 1
        return taken

    def _complete(self, request: Waiting) -> None:
        try:
            answer, seen, is_early = self._asked(request.asked)
        except PushError as error:
            log.get().warning("session_not_stored", problem=str(error), number=1)
            suspended.refuse(request.transaction)
            return
        if is_early and time.monotonic() < request.until_s:
            self._early.append(request)
            return
        answer = suspended.with_headers(answer, request.asked.answer_headers)
        suspended.resume(request.transaction, answer)
        self._follow(seen)

    def _asked(self, asked: Asked) -> tuple[Answer, list[Seen], bool]:
        """The answer, what changed, and whether the answer to our INVITE has to be stored first."""
        answer, is_early = Answer(500, "Server Internal Error"), False
        before: list[Session] = []

        def rule(old: Session | None) -> Change | None:
            nonlocal answer, is_early
            is_early = comes_early(old, asked)
            answer, new = on_request(old, asked)
            before[:] = [old] if old else []
            return Change(new) if new else None

        changed = sessions.change(self._store, id_of_call(asked.call_id), rule)
        seen = [Seen(before[0], changed.session)] if changed and before else []
        return answer, seen, is_early

    def _follow(self, seen: list[Seen]) -> None:
        try:
            self._effects.follow(seen)
        except PushError as error:
            log.get().warning("session_not_stored", problem=str(error), number=len(seen))

    # Forks ---------------------------------------------------------------------------------------

    def _take_forks(self) -> int:
        """Acknowledge what nobody else does, and end dialogs of forks; each repetition comes again."""
        found: list[tuple[str, Said]] = []
        while len(found) < _MOST_AT_ONCE and (queued := ksr_reader.next_queued(FORKS)):
            found.append((queued[0], codec.said(base64.b64decode(queued[1]))))
        try:
            known = sessions.read_all(self._store, [name for name, _ in found])
        except PushError as error:
            log.get().warning("session_not_stored", problem=str(error), number=len(found))
            return 0
        for session, (_, said) in zip(known, found, strict=True):
            for request in left_to_us(session, said) if session else ():
                self._counts.add("sip_requests_sent_total", request.method)
                ksr_writer.send(request, OF_A_FORK)
        return len(found)


def _answers(before: dict[str, Session], said: Sequence[Said], old: Session | None) -> Change | None:
    if old is None:
        return None
    new = old
    for one in said:
        new = on_answer(new, one, jitter=random.random()) or new
    before[old.id] = old
    begun = {one.path for one in new.streams if one.state == "agreed"}
    begun -= {one.path for one in old.streams if one.state == "agreed"}
    moved = [Moved(one.ticket, new.at_ms + _CARRIED_MS) for one in new.streams if one.path in begun]
    return Change(new, tuple(moved))
