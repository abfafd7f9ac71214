"""What the owner of user shards sends about its users' watches: SUBSCRIBE, refresh, a new dialog."""

from __future__ import annotations

import random
import secrets
from collections.abc import Sequence
from typing import NamedTuple

import KSR
import ksr_writer
import metrics
import watcher
from gate import Gate
from hops import Hops
from msgspec.structs import replace
from settings import Settings
from window import Window, hop_of

from omapush import clock, log
from omapush.errors import PushError
from omapush.push.registration import Registration, is_registered
from omapush.push.request import Request
from omapush.push.watch import (
    Core,
    Subject,
    Watch,
    again_later,
    call_id_start,
    call_of,
    event_of,
    place_of,
    resting,
    wait_for_register,
    wanted,
)
from omapush.push.watch_rules import FinalAnswer, next_request
from omapush.store import registrations, watches
from omapush.store.client import Store
from omapush.store.watches import Change, Stored

_MOST_AT_ONCE = 64
_NOT_SENT = 503
_PART_OF_ONE = 2
"An S-CSCF that is silent holds one part in so many of the window, so that the users of others are watched."


class _Step(NamedTuple):
    """One watch whose time has come."""

    change: Change
    request: Request | None
    hop: str = ""
    "Short name of the next hop in whose window it has its place already."
    wait_ms: int = 0
    "Not 0: the hop has no room, or wants nothing now; nothing is changed."


class Subscriber:
    """State of one sender process, for the watches of the shards that it owns."""

    def __init__(self, settings: Settings, store: Store, hops: Hops, sender: int) -> None:
        self._settings = settings
        self._store = store
        self._sender = sender
        self._plans = settings.watch_plans
        size, transaction_s = settings.config.registration.window, settings.config.delivery.transaction_s
        self.window = Window(watcher.window_name(sender), size, max(1, size // _PART_OF_ONE), transaction_s)
        self._gate = Gate(settings, hops, self.window)
        self._begun: set[int] = set()
        "Shards whose standing subscriptions this process has asked for."
        self._counts = metrics.Counts()

    def send_due(self, shards: Sequence[int]) -> int:
        """Send what is due in these shards, as far as the window allows; returns how many requests left."""
        if not self._plans or not shards:
            return 0
        free = min(self.window.free(clock.monotonic()), _MOST_AT_ONCE)
        if free <= 0:
            return 0
        subjects = watches.due(self._store, shards, clock.now_ms(), most=free)
        return self._send(random.sample(subjects, free) if len(subjects) > free else subjects)

    def begin(self, owned: Sequence[int]) -> None:
        """Have what configuration subscribes to looked at, once in the life of the process that owns it."""
        new = set(owned) - self._begun
        if not new:
            return
        shard_of = self._store.layout.user_shard
        for subject in self._settings.standing:
            if shard_of(subject.aor) in new:
                watches.want(self._store, [subject.aor], clock.now_ms(), subject.package)
        self._begun |= new

    def _send(self, subjects: list[Subject]) -> int:
        if not subjects:
            return 0
        found = watches.read_all(self._store, [place_of(subject) for subject in subjects])
        records = registrations.read_readable(self._store, [subject.aor for subject in subjects])
        ways = [self._way(record) for record in records]
        cores = watches.cores(self._store, ways)
        steps = [
            self._step(subject, stored, record, way, cores[way])
            for subject, stored, record, way in zip(subjects, found, records, ways, strict=True)
        ]
        now_ms, waits = clock.now_ms(), zip(subjects, steps, strict=True)
        watches.put_off(
            self._store, {subject: now_ms + step.wait_ms for subject, step in waits if step.wait_ms}
        )
        sent = self._send_steps([step for step in steps if not step.wait_ms])
        self._counts.flush()
        return sent

    def _send_steps(self, steps: list[_Step]) -> int:
        # Stored first: whoever loses here must not send, and the NOTIFY may come before the answer.
        won = [False] * len(steps)
        try:
            won = watches.replace(self._store, [step.change for step in steps])
        finally:
            for step, is_ours in zip(steps, won, strict=True):
                if step.request is not None and not is_ours:
                    self.window.sent(step.hop, -1)
        leaving = [step for step, is_ours in zip(steps, won, strict=True) if is_ours]
        for step in leaving:
            if step.request is not None:
                self._send_one(step.request, step.hop)
        return sum(step.request is not None for step in leaving)

    def _way(self, record: Registration | None) -> str:
        return (record.s_cscf if record else "") or self._settings.sender.next_hop

    def _step(
        self, subject: Subject, stored: Stored, record: Registration | None, way: str, core: Core
    ) -> _Step:
        now_ms = clock.now_ms()
        watch: Watch = stored.watch or wanted(subject.aor, now_ms, subject.package)
        plan = self._plans.get(subject.package)
        if plan is None:
            return _Step(Change(stored.data, wait_for_register(watch, "switched off", now_ms)), None)
        request: Request | None = None
        try:
            watch, request = next_request(
                watch,
                plan,
                core,
                s_cscf=way,
                registered=is_registered(record, now_ms),
                token=secrets.token_hex(8),
                jitter=random.random(),
                now_ms=now_ms,
            )
        except PushError as error:
            log.get().warning(
                "watch_not_possible", aor=subject.aor, package=event_of(subject.package), problem=str(error)
            )
            watch = again_later(resting(watch), plan, random.random(), None, str(error), now_ms)
        change = Change(stored.data, watch)
        if request is None:
            return _Step(change, None)
        way_on = self._gate.way(request.next_hop, request.size)
        if wait_ms := self._gate.wait_ms(way_on, call_id_start(subject)):
            return _Step(change, None, wait_ms=wait_ms)
        request = replace(request, next_hop=way_on.next_hop, address=way_on.address)
        hop = hop_of(request.goes_to)
        self.window.sent(hop)
        return _Step(change, request, hop)

    def _send_one(self, request: Request, hop: str) -> None:
        assert request.dialog is not None  # noqa: S101 - a SUBSCRIBE is in a dialog or begins one
        cseq = request.dialog.cseq
        reference = watcher.Reference(self._sender, hop, cseq, call_of(request.call_id))
        self._counts.add("sip_requests_sent_total", request.method)
        if not ksr_writer.send(request, reference.pack()):
            unsent = FinalAnswer(_NOT_SENT, True, reference.call, cseq, "", "", "", "", "", clock.now_ms())
            KSR.mqueue.mq_add(watcher.ANSWERS, reference.pack(), watcher.pack_answer(unsent))
