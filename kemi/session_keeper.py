"""Sessions that are due in the shards of a sender process: INVITE, re-INVITE, CANCEL and BYE leave here."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

import KSR
import ksr_writer
import metrics
from gate import Gate
from hops import Hops
from msgspec.structs import replace
from session_effects import Change as Seen
from session_effects import Effects
from settings import Settings
from traced import marks
from window import Window, hop_of, part_of_one

from omapush import clock
from omapush.config import shared_memory
from omapush.push.dialog import Heard
from omapush.push.request import Request
from omapush.push.session import Session
from omapush.push.session_answers import Said
from omapush.push.session_steps import Here, Limits, Step, put_off, step
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
"Wait of a new session while the whole window is full, though its next hop has room."
_LONGEST_TRACE_S = 3_600
"How long the packets of a session are kept of a push that is traced, after our last request in it."


class Reference(NamedTuple):
    """What comes back with the final answer to an INVITE or BYE."""

    session_id: str
    cseq: int
    sender: int
    hop: str
    "Short name of the next hop in whose window it has its place."
    method: str
    sent_ms: int

    def pack(self) -> str:
        """Return the reference as text."""
        place = f"{self.session_id}|{self.cseq}|{self.sender}|{self.hop}"
        return f"{REFERENCE}{place}|{self.method}|{self.sent_ms}"

    @staticmethod
    def unpack(text: str) -> Reference:
        """Return what `pack` packed."""
        _, session_id, cseq, sender, hop, method, sent_ms = text.split("|")
        return Reference(session_id, int(cseq), int(sender), hop, method, int(sent_ms))


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
    hop: str
    "Short name of the next hop in whose window its request has its place; empty: it has none."

    @property
    def is_put_off(self) -> bool:
        """Whether nothing has happened but that it waits for room."""
        after = self.step.session
        return after is not None and after.state == "gathering" and after.streams == self.before.streams


class SessionKeeper:
    """Part of a sender process."""

    def __init__(self, settings: Settings, store: Store, hops: Hops, sender: int) -> None:
        section, delivery = settings.config.sessions, settings.config.delivery
        self._store = store
        self._sender = sender
        self._here = Here(settings.sender, settings.node, settings.run)
        self._limits = Limits(
            answer_ms=section.answer_s * 1000,
            transaction_ms=delivery.transaction_s * 1000,
            linger_ms=int(section.linger_s * 1000),
        )
        self.window = Window(
            window_name(sender),
            section.window,
            part_of_one(section.window),
            section.answer_s + delivery.transaction_s,
            shared_memory.silent_invites(settings.config),
        )
        self._gate = Gate(settings, hops, self.window)
        self._counts = metrics.Counts()
        self._effects = Effects(store, self._counts)

    def send_due(self, shards: Sequence[int]) -> None:
        """
        Do what is due about sessions of these shards.

        Only new ones wait for their next hop, and for room there: what ends others, CANCEL and BYE, is what
        makes room.
        """
        if not shards:
            return
        self.window.free(clock.monotonic())
        due = sessions.due(self._store, shards, clock.now_ms(), most=_MOST_AT_ONCE)
        if due:
            self._work_off(due)

    def _work_off(self, due: Sequence[str]) -> None:
        made: dict[str, _Made] = {}
        done: list[_Made] = []
        try:
            changed = sessions.change_all(self._store, {name: partial(self._rule, made) for name in due})
            done = [made.pop(name) for name in changed]
        finally:
            for one in made.values():
                self._give_back(one)
        for name in due:
            if name not in changed and name not in made:
                sessions.discard(self._store, name)
        self._effects.follow(
            [
                Seen(one.before, one.step.session)
                for one in done
                if one.step.session is not None and not one.is_put_off
            ]
        )
        for one in done:
            self._act(one)
        self._counts.flush()

    def _rule(self, made: dict[str, _Made], old: Session | None) -> Change | None:
        """The last call for a session is the one whose outcome is stored."""
        if old is None:
            return None
        if old.id in made:
            self._give_back(made[old.id])
        now_ms, lives = clock.now_ms(), self._effects.workers.lives(old.place)
        taken = step(old, self._here, self._limits, worker_lives=lives, now_ms=now_ms)
        if old.state == "gathering":
            taken = self._at_gate(old, taken, now_ms)
        hop = hop_of(taken.request.goes_to) if taken.request is not None else ""
        if hop:
            self.window.sent(hop)
        made[old.id] = _Made(old, taken, hop)
        return Change(taken.session)

    def _at_gate(self, old: Session, taken: Step, now_ms: int) -> Step:
        """Return a new session's step with the way of its INVITE, or with the wait for it."""
        request = taken.request
        if request is None:
            return taken
        way = self._gate.way(request.next_hop, request.size)
        full_ms = _FULL_WAIT_MS if self.window.room <= 0 else 0
        if wait_ms := self._gate.wait_ms(way, old.id) or full_ms:
            return Step(put_off(old, wait_ms, now_ms))
        return taken._replace(request=replace(request, next_hop=way.next_hop, address=way.address))

    def _give_back(self, one: _Made) -> None:
        """Give back the place in the windows of a request that does not leave."""
        if one.hop:
            self.window.sent(one.hop, -1)

    def _act(self, one: _Made) -> None:
        taken = one.step
        session = taken.session
        if session is None:
            return
        if taken.cancel:
            self._counts.add("sip_requests_sent_total", "CANCEL")
            ksr_writer.cancel(session.dialog.call_id)
        if taken.request is not None:
            self._send(session, taken.request, one.hop)

    def _send(self, session: Session, request: Request, hop: str) -> None:
        """Send a request; one that cannot be sent is answered here as a silent next hop would."""
        cseq = session.dialog.local_cseq
        now_ms = clock.now_ms()
        reference = Reference(session.id, cseq, self._sender, hop, request.method, now_ms).pack()
        self._counts.add("sip_requests_sent_total", request.method)
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
