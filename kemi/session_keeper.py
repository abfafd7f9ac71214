"""Sessions that are due in the shards of a sender process: INVITE, re-INVITE, CANCEL and BYE leave here."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

import KSR
import ksr_writer
import metrics
from in_flight import Count
from session_effects import Change as Seen
from session_effects import Effects
from settings import Settings
from traced import marks

from omapush import clock
from omapush.config import shared_memory
from omapush.push.dialog import Heard
from omapush.push.request import Request
from omapush.push.session import Session
from omapush.push.session_answers import Said
from omapush.push.session_steps import Here, Limits, Step, step
from omapush.push.values import ticket_delivery
from omapush.store import codec, sessions
from omapush.store.client import Store
from omapush.store.sessions import Change

REFERENCE = "i|"
"How references of these requests begin."
ANSWERS = "invited"
_MOST_AT_ONCE = 64
_NOT_SENT = 503
_FULL_WAIT_MS = 500
"Wait of a new session while the window is full."
_LONGEST_TRACE_S = 3_600
"How long the packets of a session are kept of a push that is traced, after our last request in it."


class Reference(NamedTuple):
    """What comes back with the final answer to an INVITE or BYE."""

    session_id: str
    cseq: int
    sender: int
    method: str
    sent_ms: int

    def pack(self) -> str:
        """Return the reference as text."""
        return f"{REFERENCE}{self.session_id}|{self.cseq}|{self.sender}|{self.method}|{self.sent_ms}"

    @staticmethod
    def unpack(text: str) -> Reference:
        """Return what `pack` packed."""
        _, session_id, cseq, sender, method, sent_ms = text.split("|")
        return Reference(session_id, int(cseq), int(sender), method, int(sent_ms))


def pack_said(said: Said) -> str:
    """Return an answer as text for the queue."""
    return base64.b64encode(codec.encode(said)).decode()


def window_name(sender: int) -> str:
    """Return the name under which a sender's INVITEs and BYEs are counted."""
    return f"{sender}.session"


class _Made(NamedTuple):
    """What a rule came to, and on what."""

    before: Session
    step: Step


class SessionKeeper:
    """Part of a sender process."""

    def __init__(self, settings: Settings, store: Store, sender: int) -> None:
        section, delivery = settings.config.sessions, settings.config.delivery
        self._store = store
        self._sender = sender
        self._here = Here(settings.sender, settings.node, settings.run)
        self._limits = Limits(
            answer_ms=section.answer_s * 1000,
            transaction_ms=delivery.transaction_s * 1000,
            linger_ms=int(section.linger_s * 1000),
        )
        self.window = Count(
            window_name(sender),
            section.window,
            section.answer_s + delivery.transaction_s,
            shared_memory.silent_invites(settings.config),
        )
        self._room = 0
        "How many new sessions may begin now."
        self._counts = metrics.Counts()
        self._effects = Effects(store, self._counts)

    def send_due(self, shards: Sequence[int]) -> None:
        """
        Do what is due about sessions of these shards.

        Only new ones wait for room in the window: what ends others, CANCEL and BYE, is what makes room.
        """
        if not shards:
            return
        self.window.look(clock.monotonic())
        due = sessions.due(self._store, shards, clock.now_ms(), most=_MOST_AT_ONCE)
        if due:
            self._room = self.window.free
            self._work_off(due)

    def _work_off(self, due: Sequence[str]) -> None:
        made: dict[str, _Made] = {}
        changed = sessions.change_all(self._store, {name: partial(self._rule, made) for name in due})
        for name in due:
            if name not in made:
                sessions.discard(self._store, name)
        done = [made[name] for name in changed]
        self._effects.follow(
            [Seen(one.before, one.step.session) for one in done if one.step.session is not None]
        )
        for one in done:
            self._act(one.step)
        self._counts.flush()

    def _rule(self, made: dict[str, _Made], old: Session | None) -> Change | None:
        """The last call for a session is the one whose outcome is stored."""
        if old is None:
            return None
        now_ms = clock.now_ms()
        if old.state == "gathering" and self._room <= 0:
            taken = Step(old._replace(due_ms=now_ms + _FULL_WAIT_MS))
        else:
            lives = self._effects.workers.lives(old.place)
            taken = step(old, self._here, self._limits, worker_lives=lives, now_ms=now_ms)
            self._room -= taken.request is not None
        made[old.id] = _Made(old, taken)
        return Change(taken.session)

    def _act(self, taken: Step) -> None:
        session = taken.session
        if session is None:
            return
        if taken.cancel:
            self._counts.add("sip_requests_sent_total", "CANCEL")
            ksr_writer.cancel(session.dialog.call_id)
        if taken.request is not None:
            self._send(session, taken.request)

    def _send(self, session: Session, request: Request) -> None:
        """Send a request; one that cannot be sent is answered here as a silent next hop would."""
        cseq = session.dialog.local_cseq
        now_ms = clock.now_ms()
        reference = Reference(session.id, cseq, self._sender, request.method, now_ms).pack()
        self._counts.add("sip_requests_sent_total", request.method)
        self.window.sent()
        if session.state == "inviting":
            for stream in session.live:
                metrics.observe("accepted_to_sent_seconds", now_ms - stream.accepted_ms)
        for stream in session.live:
            marks.mark(request.call_id, *ticket_delivery(stream.ticket), session.aor, _LONGEST_TRACE_S)
        if not ksr_writer.send(request, reference):
            unsent = Said(
                cseq, _NOT_SENT, True, "could not be sent", "", 0, Heard("", 0, "", ""), b"", now_ms
            )
            KSR.mqueue.mq_add(ANSWERS, reference, pack_said(unsent))
