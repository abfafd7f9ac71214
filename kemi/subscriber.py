"""What the owner of user shards sends about its users' watches: SUBSCRIBE, refresh, a new dialog."""

from __future__ import annotations

import random
import secrets
from typing import NamedTuple

import KSR
import ksr_writer
import metrics
import watcher
from settings import Settings
from window import Count

from omapush import clock, log
from omapush.errors import PushError
from omapush.push.reg_watch import FinalAnswer, next_request
from omapush.push.registration import Registration, is_registered
from omapush.push.request import Request
from omapush.push.values import target
from omapush.push.watch import Core, Watch, again_later, call_of, resting, wanted
from omapush.store import registrations, watches
from omapush.store.client import Store
from omapush.store.watches import Change, Stored

_LOOK_S = 0.05
"Between two looks for watches that are due; each is one trip to Redis."
_MOST_AT_ONCE = 64
_NOT_SENT = 503


class _Step(NamedTuple):
    """One watch whose time has come."""

    change: Change
    request: Request | None


class Subscriber:
    """State of one sender process, for the watches of the shards that it owns."""

    def __init__(self, settings: Settings, store: Store, sender: int) -> None:
        self._settings = settings
        self._store = store
        self._sender = sender
        section = settings.config.registration
        self._is_on = section.watch
        transaction_s = settings.config.delivery.transaction_s
        self._window = Count(watcher.window_name(sender), section.window, transaction_s)
        self._look_at = 0.0
        self._counts = metrics.Counts()

    def send_due(self, shards: list[int]) -> int:
        """Send what is due in these shards, as far as the window allows; returns how many requests left."""
        now = clock.monotonic()
        if not self._is_on or not shards or now < self._look_at:
            return 0
        self._look_at = now + _LOOK_S
        self._window.look(now)
        free = min(self._window.free, _MOST_AT_ONCE)
        if free <= 0:
            return 0
        aors = watches.due(self._store, shards, clock.now_ms(), most=free)
        return self._send(random.sample(aors, free) if len(aors) > free else aors)

    def _send(self, aors: list[str]) -> int:
        if not aors:
            return 0
        found = watches.read_all(self._store, [target(aor) for aor in aors])
        records = registrations.read_readable(self._store, aors)
        ways = [self._way(record) for record in records]
        cores = watches.cores(self._store, ways)
        steps = [
            self._step(aor, stored, record, way, cores[way])
            for aor, stored, record, way in zip(aors, found, records, ways, strict=True)
        ]
        # Stored first: whoever loses here must not send, and the NOTIFY may come before the answer.
        won = watches.replace(self._store, [step.change for step in steps])
        sent = 0
        for step, is_ours in zip(steps, won, strict=True):
            if is_ours and step.request is not None:
                self._send_one(step.request)
                sent += 1
        self._window.sent(sent)
        self._counts.flush()
        return sent

    def _way(self, record: Registration | None) -> str:
        return (record.s_cscf if record else "") or self._settings.sender.next_hop

    def _step(self, aor: str, stored: Stored, record: Registration | None, way: str, core: Core) -> _Step:
        now_ms = clock.now_ms()
        plan = self._settings.watch_plan
        watch: Watch = stored.watch or wanted(aor, now_ms)
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
            log.get().warning("watch_not_possible", aor=aor, problem=str(error))
            watch = again_later(resting(watch), plan, random.random(), None, str(error), now_ms)
        return _Step(Change(stored.data, watch), request)

    def _send_one(self, request: Request) -> None:
        assert request.dialog is not None  # noqa: S101 - a SUBSCRIBE is in a dialog or begins one
        cseq = request.dialog.cseq
        reference = watcher.Reference(self._sender, cseq, call_of(request.call_id))
        self._counts.add("sip_requests_sent_total", request.method)
        if not ksr_writer.send(request, reference.pack()):
            unsent = FinalAnswer(_NOT_SENT, True, reference.call, cseq, "", "", "", "", "", clock.now_ms())
            KSR.mqueue.mq_add(watcher.ANSWERS, reference.pack(), watcher.pack_answer(unsent))
