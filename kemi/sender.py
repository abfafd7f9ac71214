"""A sender process: it owns user shards, takes what is ready there, and sends it."""

from __future__ import annotations

import math
import random
import time

import device_facts
import holding
import KSR
import ksr_writer
import metrics
from device_facts import DeviceFacts
from device_notifier import DeviceNotifier
from pace import Pace
from sent import Sent
from settings import Settings
from subscriber import Subscriber
from window import Window, hop_of

from omapush import clock, log
from omapush.errors import PushError
from omapush.push import outcome
from omapush.push.capabilities import Facts
from omapush.push.device_choice import devices_for
from omapush.push.method_choice import Choice, choose, too_large
from omapush.push.outcome import Outcome, Reply
from omapush.push.page_mode import accept_contact_of, compose
from omapush.push.registration import Registration
from omapush.push.request import Request
from omapush.push.values import Event
from omapush.store import client, finish, outbox, pushes, registrations
from omapush.store.codec import BrokenRecord
from omapush.store.outbox import Taken, Unreadable

_MOST_AT_ONCE = 64
"Deliveries taken from one shard in one go."
_REST_S = 0.25
"Sleep after Redis did not answer."


class SenderProcess:
    """State of one sender; lives in one process and is driven by Kamailio's timer."""

    def __init__(self, settings: Settings, index: int) -> None:
        self._settings = settings
        self._delivery = settings.config.delivery
        self._store = client.connect(settings.config.redis)
        self._owner = outbox.Owner(settings.node, settings.run, index)
        self._window = Window(
            index,
            size=settings.config.sip.window,
            hop_size=settings.config.sip.window_per_hop,
            longest_s=self._delivery.transaction_s,
        )
        self._shards: list[int] = []
        self._renew_at = 0.0
        self._pace = Pace()
        self._counts = metrics.Counts()
        self._device_facts = DeviceFacts(self._store)
        self._device_notifier = DeviceNotifier(settings, self._store)
        self._subscriber = Subscriber(settings, self._store, index)

    def run_once(self) -> None:
        """Send what is ready, as far as the window allows, or sleep a little when there is nothing."""
        try:
            if clock.monotonic() >= self._renew_at:
                self._keep_shards()
            self._device_notifier.send_due(self._shards)
            self._subscriber.send_due(self._shards)
            if self._send_ready() > 0:
                self._pace.worked()
            else:
                self._pace.rest()
        except PushError as error:
            log.get().warning("store_trouble", problem=str(error), action="trying again")
            time.sleep(_REST_S)

    def _keep_shards(self) -> None:
        """Renew the lease, and hold no more and no fewer shards than a fair share."""
        lease_ms = self._delivery.lease_ms
        number = self._settings.config.redis.user_shards
        senders = outbox.sign_of_life(self._store, self._owner, lease_ms=lease_ms)
        share = math.ceil(number / max(senders, 1))
        outbox.release(self._store, self._shards[share:], self._owner)
        self._shards = self._claim(self._shards[:share])
        start = self._owner.sender * number // max(senders, 1)
        for offset in range(number):
            if len(self._shards) >= share:
                break
            candidate = (start + offset) % number
            if candidate not in self._shards:
                self._shards += self._claim([candidate])
        self._renew_at = clock.monotonic() + lease_ms / 3000

    def _claim(self, numbers: list[int]) -> list[int]:
        transaction_ms = self._delivery.transaction_s * 1000
        owned = outbox.claim(
            self._store,
            numbers,
            self._owner,
            lease_ms=self._delivery.lease_ms,
            transaction_ms=transaction_ms,
        )
        return [number for number, is_ours in zip(numbers, owned, strict=True) if is_ours]

    def _send_ready(self) -> int:
        """Send one batch; returns how many deliveries it had."""
        free = self._window.free(clock.monotonic())
        KSR.xhttp_prom.gauge_set_l1(
            "requests_in_flight", str(self._window.in_flight), str(self._owner.sender)
        )
        shards = outbox.ready(self._store, self._shards) if free > 0 else []
        if not shards:
            return 0
        if free < len(shards):  # one each of some of them, chosen anew each time so that none is always last
            shards = random.sample(shards, free)
        most = min(_MOST_AT_ONCE, free // len(shards))
        taken = outbox.take(
            self._store,
            shards,
            self._owner,
            transaction_ms=self._delivery.transaction_s * 1000,
            most=most,
        )
        self._shards = [number for number in self._shards if taken.get(number, []) is not None]
        batch = [one for found in taken.values() for one in found or ()]
        self._end_unreadable([one for one in batch if isinstance(one, Unreadable)])
        self._send_batch([one for one in batch if isinstance(one, Taken)])
        return len(batch)

    def _end_unreadable(self, broken: list[Unreadable]) -> None:
        """A delivery whose record cannot be read ends here, before it holds up its queue for ever."""
        if not broken:
            return
        log.get().error("delivery_records_broken", number=len(broken), problem=broken[0].problem)
        now_ms = clock.now_ms()
        verdict = Outcome(None, "undeliverable", PushError.pap_code, "its record in the outbox is broken")
        ended = [finish.Ended(one.ticket, verdict, "", 0, 0, now_ms, verdict.desc) for one in broken]
        finish.store(self._store, ended, retention_s=self._delivery.retention_s)

    def _send_batch(self, batch: list[Taken]) -> None:
        aors = [one.delivery.aor for one in batch]
        known = self._registrations(aors)
        facts = self._device_facts.of(aors, clock.now_ms())
        notes: list[tuple[str, Event]] = []
        ended: list[finish.Ended] = []
        waiting: dict[int, list[str]] = {}
        held: list[holding.Held] = []
        for one, record, of_devices in zip(batch, known, facts, strict=True):
            match self._send_one(one, record, of_devices):
                case Event() as event:
                    notes.append((one.delivery.ref, event))
                case finish.Ended() as end:
                    ended.append(end)
                case holding.Held() as hold:
                    held.append(hold)
                case wait_ms:
                    waiting.setdefault(wait_ms, []).append(one.ticket)
        self._counts.flush()
        for wait_ms, tickets in waiting.items():
            outbox.put_off(self._store, tickets, wait_ms)
        if notes:
            pushes.note(self._store, notes)
        if ended:
            finish.store(self._store, ended, retention_s=self._delivery.retention_s)
        if held:
            KSR.xhttp_prom.counter_inc_l0("deliveries_held_total", holding.store(self._store, held))

    def _registrations(self, aors: list[str]) -> list[Registration | None]:
        """Read records; one that is broken counts as unknown and holds up nobody else."""
        try:
            return registrations.read_all(self._store, aors)
        except BrokenRecord as error:
            if len(aors) > 1:
                return [self._registrations([aor])[0] for aor in aors]
            log.get().error(
                "registration_broken", aor=aors[0], problem=str(error), action="sent as to one unknown"
            )
            return [None]

    def _send_one(
        self, one: Taken, record: Registration | None, facts: tuple[Facts, ...]
    ) -> Event | finish.Ended | holding.Held | int:
        """
        Send one delivery and return what to note, or what becomes of it when there is nothing to send.

        A number says for how many ms to put it off, because its next hop is full.
        """
        delivery, now_ms = one.delivery, clock.now_ms()
        if self._is_at_a_relay(one):
            return self._expired(one, now_ms, held=False)
        if delivery.size > len(delivery.content):
            return self._end(one, too_large(delivery.size, self._delivery.message_bytes), now_ms, sip_code=0)
        try:
            request, choice = self._choose(one, record, facts, now_ms)
        except PushError as error:
            verdict = Outcome(None, "undeliverable", error.pap_code, str(error))
            return self._end(one, verdict, now_ms, sip_code=0)
        if now_ms >= delivery.deliver_before_ms:
            return self._expired(one, now_ms, held=choice.hold)
        if choice.outcome is not None:
            return self._end(one, choice.outcome, now_ms, sip_code=0)
        if choice.hold:
            return self._held(one, record, choice, now_ms)
        if wait_ms := self._window.wait_ms(hop_of(request.next_hop), clock.monotonic()):
            return wait_ms
        if not self._send(one, request, now_ms):
            return self._not_sent(one, now_ms)
        self._counts.add("sip_requests_sent_total", request.method)
        metrics.observe("accepted_to_sent_seconds", now_ms - one.delivery.accepted_ms)
        text = f"{choice.method} try {one.attempt} to {request.next_hop} ({choice.why})"
        return Event(now_ms, one.delivery.recipient, "sent", text)

    def _choose(
        self, one: Taken, record: Registration | None, facts: tuple[Facts, ...], now_ms: int
    ) -> tuple[Request, Choice]:
        delivery = one.delivery
        profile = device_facts.fitted(self._settings.profile(delivery.application, delivery.initiator), facts)
        s_cscf = record.s_cscf if record else ""
        request = compose(delivery, self._settings.sender, profile, s_cscf, one.attempt)
        refusal = device_facts.refusal(delivery, facts, record, now_ms)
        if refusal is not None:
            verdict = Outcome(None, "undeliverable", refusal.code, refusal.why)
            return request, Choice(None, refusal.why, verdict)
        devices = devices_for(record, accept_contact_of(profile), now_ms)
        return request, choose(request, devices, self._settings.rules(delivery.application))

    def _held(self, one: Taken, record: Registration | None, choice: Choice, now_ms: int) -> holding.Held:
        check_ms = int(self._delivery.hold_check_s * 1000)
        again_ms = min(now_ms + check_ms, one.delivery.deliver_before_ms)
        return holding.Held(one.ticket, one.delivery, record, now_ms, again_ms, choice.why)

    def _is_at_a_relay(self, one: Taken) -> bool:
        """A relay that said 202 has the push; it is never sent again, whatever our clocks say."""
        if one.attempt == 1:
            return False
        last = pushes.result_of(self._store, one.delivery.ref, one.delivery.recipient)
        return last is not None and last.sip_code == 202

    def _expired(self, one: Taken, now_ms: int, *, held: bool) -> finish.Ended:
        """Deliver-before passed while it waited: for its first try, for its next, or after a relay's 202."""
        last = pushes.result_of(self._store, one.delivery.ref, one.delivery.recipient)
        verdict = outcome.expired(last.sip_code if last is not None else 0, held=held)
        ended = self._end(one, verdict, now_ms, sip_code=last.sip_code if last is not None else 0)
        return ended._replace(attempt=one.attempt - 1, method=last.method if last is not None else "")

    def _send(self, one: Taken, request: Request, now_ms: int) -> bool:
        reference = Sent(
            ticket=one.ticket,
            attempt=one.attempt,
            plan=self._settings.retry_plan(one.delivery.application),
            sent_ms=now_ms,
            sender=self._owner.sender,
            hop=hop_of(request.next_hop),
            deliver_before_ms=one.delivery.deliver_before_ms,
            unconfirmed=one.delivery.delivery_method in ("unconfirmed", "preferconfirmed"),
        )
        if not ksr_writer.send(request, reference.pack()):
            return False
        self._window.sent(hop_of(request.next_hop))
        return True

    def _not_sent(self, one: Taken, now_ms: int) -> finish.Ended:
        """Kamailio could not send at all: judged like a 503 of the next hop."""
        verdict = outcome.judge(
            Reply(503, "could not be sent: next hop unknown or memory short"),
            attempt=one.attempt,
            plan=self._settings.retry_plan(one.delivery.application),
            unconfirmed=False,
            now_ms=now_ms,
            deliver_before_ms=one.delivery.deliver_before_ms,
            jitter=0.5,
        )
        return self._end(one, verdict, now_ms, sip_code=503)

    def _end(self, one: Taken, verdict: Outcome, now_ms: int, *, sip_code: int) -> finish.Ended:
        self._counts.add("deliveries_finished_total", verdict.state)
        return finish.Ended(one.ticket, verdict, "", sip_code, one.attempt, now_ms, verdict.desc)
