"""The completer of device subscriptions: stores SUBSCRIBEs, answers them, and stores answers to NOTIFYs."""

from __future__ import annotations

import base64
from functools import partial

import ksr_reader
import suspended
from device_notifier import Reference
from sent import Answered
from settings import Settings

from omapush import clock, log
from omapush.errors import PushError, TryLater
from omapush.push import device_subscription as rules
from omapush.push.device_subscription import DeviceSubscription, Wanted
from omapush.push.inbound import Answer
from omapush.store import capabilities, client, codec, profiles, subscriptions

SUBSCRIBES = "subscribes"
NOTIFIED = "notified"
_MOST_AT_ONCE = 128


class SubscribeCompleter:
    """Lives in the one process that drains both queues."""

    def __init__(self, settings: Settings) -> None:
        self._store = client.connect(settings.config.redis)
        self._settings = settings

    def run_once(self) -> None:
        """Work off what waits, up to a bound; without Redis a SUBSCRIBE is answered 503."""
        for _ in range(_MOST_AT_ONCE):
            queued = ksr_reader.next_queued(NOTIFIED)
            if queued is None:
                break
            self._notified(Reference.unpack(queued[0]), Answered.unpack(queued[1]))
        for _ in range(_MOST_AT_ONCE):
            queued = ksr_reader.next_queued(SUBSCRIBES)
            if queued is None:
                return
            self._subscribe(queued[0], unpack_subscribe(queued[1]))

    def _subscribe(self, transaction: str, wanted: Wanted) -> None:
        try:
            answer = self._store_subscription(wanted)
        except TryLater as error:
            log.get().warning("subscribe_not_stored", problem=str(error))
            suspended.refuse(transaction)
        except PushError as error:
            log.get().warning("request_refused", problem=str(error), status=error.sip_status)
            suspended.resume(transaction, Answer(error.sip_status, error.sip_reason))
        else:
            suspended.resume(transaction, answer)

    def _store_subscription(self, wanted: Wanted) -> Answer:
        now_ms = clock.now_ms()

        def rule(
            old: DeviceSubscription | None,
        ) -> tuple[DeviceSubscription | None, tuple[DeviceSubscription | None, Answer]]:
            new, answer = rules.subscribe(old, wanted, now_ms)
            return (old if new is None else new), (new, answer)

        new, answer = subscriptions.change(self._store, wanted.id, rule)
        if new is None:
            return answer
        self._learn(new, now_ms)
        contact = ("Contact", f"<{self._settings.contact}>")
        return Answer(answer.status, answer.reason, (*answer.headers, contact))

    def _learn(self, subscription: DeviceSubscription, now_ms: int) -> None:
        """The dialog stands already: what is not learnt now will be with the next refresh."""
        facts = rules.facts(subscription, now_ms, learned_s=self._settings.config.capabilities.learned_s)
        try:
            capabilities.learn(self._store, {subscription.aor: [facts]}, now_ms)
            if facts.profile_url and self._settings.config.capabilities.fetch:
                profiles.want(self._store, [facts.profile_url], now_ms)
        except PushError as error:
            log.get().warning("capabilities_not_stored", aor=subscription.aor, problem=str(error))

    def _notified(self, reference: Reference, answered: Answered) -> None:
        """A result that is lost here makes the NOTIFY be sent again after its time."""
        rule = partial(_after_answer, reference.cseq, answered.sip_code, answered.at_ms)
        try:
            subscriptions.change(self._store, reference.subscription_id, rule)
        except PushError as error:
            log.get().warning("notify_result_lost", problem=str(error))


def _after_answer(
    cseq: int, sip_code: int, at_ms: int, old: DeviceSubscription | None
) -> tuple[DeviceSubscription | None, None]:
    return (None if old is None else rules.notified(old, cseq, sip_code, at_ms)), None


def pack_subscribe(wanted: Wanted) -> str:
    """Return a SUBSCRIBE as text for the queue."""
    return base64.b64encode(codec.encode(wanted)).decode()


def unpack_subscribe(packed: str) -> Wanted:
    """Return what `pack_subscribe` packed."""
    return codec.wanted_subscription(base64.b64decode(packed))
