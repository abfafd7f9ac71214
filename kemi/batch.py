"""What becomes of one batch of deliveries, stored in as few trips to Redis as there are kinds of it."""

from __future__ import annotations

from typing import NamedTuple

import holding
import KSR
import referring

from omapush.push.referral import Referral
from omapush.push.request import Request
from omapush.push.session import stream_of
from omapush.push.values import Event
from omapush.store import finish, outbox, pushes, sessions
from omapush.store.client import Store
from omapush.store.outbox import Taken, Told


class Carried(NamedTuple):
    """A delivery that is held while a session carries it."""

    ticket: str
    attempt: int
    session_id: str
    aor: str


class Batch:
    """Collects what is decided; `store` carries it out."""

    def __init__(self, store: Store, retention_s: int) -> None:
        self._store = store
        self._retention_s = retention_s
        self._notes: list[tuple[str, Event]] = []
        self._ended: list[finish.Ended] = []
        self._held: list[holding.Held] = []
        self._carried: list[Carried] = []
        self._again: list[tuple[str, Told | None]] = []
        self._put_off: list[tuple[str, int]] = []
        self._behind: list[Taken] = []
        self._refers: list[tuple[Referral, Request]] = []

    def note(self, one: Taken, event: Event) -> None:
        """Write a line into the push's event log; one to all subscribers would have too many of them."""
        if one.delivery.subscription:
            return
        self._notes.append((one.delivery.ref, event))

    def end(self, ended: finish.Ended) -> None:
        """End a try."""
        self._ended.append(ended)

    def hold(self, held: holding.Held) -> None:
        """Hold a delivery."""
        self._held.append(held)

    def carry(self, held: holding.Held, carried: Carried) -> None:
        """Hold a delivery until the session that carries it has its result."""
        self._held.append(held._replace(is_told=True))
        self._carried.append(carried)

    def choose_again(self, ticket: str, told: Told | None = None) -> None:
        """Choose the method anew at once: what it was chosen on has changed, or what is `told` counts now."""
        self._again.append((ticket, told))

    def give_way(self, one: Taken) -> None:
        """Let pushes to the same user go first that were accepted earlier and are held, or were until now."""
        self._behind.append(one)

    def put_off(self, ticket: str, wait_ms: int) -> None:
        """Take a delivery again after so many ms; that is no try."""
        self._put_off.append((ticket, wait_ms))

    def refer(self, referral: Referral, request: Request) -> None:
        """Send a REFER once all else is stored: the SUBSCRIBE must find the delivery held."""
        self._refers.append((referral, request))

    def store(self) -> None:
        """Store everything, then send what waited for that."""
        if self._put_off:
            outbox.put_off(self._store, self._put_off)
        if self._notes:
            pushes.note(self._store, self._notes)
        if self._ended:
            finish.store(self._store, self._ended, retention_s=self._retention_s)
        if self._again:
            outbox.choose_again(self._store, self._again)
        if self._behind:
            outbox.wake_targets(self._store, dict.fromkeys(one.delivery.aor for one in self._behind))
            outbox.give_way(self._store, [one.ticket for one in self._behind])
        if self._held:
            KSR.xhttp_prom.counter_inc_l0("deliveries_held_total", holding.store(self._store, self._held))
        self._wake_what_has_ended()
        for referral, request in self._refers:
            referring.send(referral, request)

    def _wake_what_has_ended(self) -> None:
        """A result that came while its delivery was not held yet woke nobody."""
        found = sessions.read_all(self._store, [one.session_id for one in self._carried])
        ended = []
        for carried, session in zip(self._carried, found, strict=True):
            stream = stream_of(session, carried.ticket, carried.attempt) if session else None
            if stream is None or stream.ending is not None:
                ended.append(carried.aor)
        if ended:
            outbox.wake_targets(self._store, dict.fromkeys(ended))
