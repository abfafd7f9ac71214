"""The completer of subscriptions: stores SUBSCRIBEs, answers them, and stores answers to NOTIFYs."""

from __future__ import annotations

import base64
from collections import Counter
from collections.abc import Mapping
from functools import partial

import in_flight
import ksr_reader
import metrics
import suspended
import window
from pace import Pace
from referring import ReferralCompleter
from sent import Answered
from settings import Settings
from subscription_notifier import NOTIFIED, Reference, window_name

from omapush import clock, log
from omapush.errors import PushError
from omapush.protocol.charging_vector import answer_to
from omapush.push import subscription as rules
from omapush.push.capabilities import Facts
from omapush.push.inbound import Answer
from omapush.push.subscribe import DEVICE, Wanted
from omapush.push.subscription import Subscription, Taken
from omapush.store import capabilities, client, codec, profiles, subscriptions
from omapush.store.subscriptions import Placed

SUBSCRIBES = "subscribes"
_MOST_AT_ONCE = 128
_NOTIFY_AFTER_MS = 10
"The 2xx to a SUBSCRIBE leaves at once; the NOTIFY follows it by so much."

_Waiting = tuple[str, Wanted]
"A suspended transaction and what it asks for."


class SubscriptionCompleter:
    """Lives in the one process that drains these queues."""

    def __init__(self, settings: Settings) -> None:
        self._store = client.connect(settings.config.redis)
        self.take(settings)
        self._referrals = ReferralCompleter(self._store)
        self._counts = metrics.Counts()
        self._pace = Pace()

    def take(self, settings: Settings) -> None:
        """Store what comes as these settings say from now on."""
        self._settings = settings

    def run_once(self) -> None:
        """Work off what waits; without Redis a SUBSCRIBE is answered 503."""
        while self._take_answers() + self._take_subscribes() + self._referrals.run_once():
            self._pace.worked()
            if self._pace.is_over():
                break
        self._counts.flush()
        self._pace.rest()

    # SUBSCRIBEs ----------------------------------------------------------------------------------

    def _take_subscribes(self) -> int:
        found = suspended.all_waiting(SUBSCRIBES, _MOST_AT_ONCE)
        batch: list[_Waiting] = [(transaction, unpack_subscribe(packed)) for transaction, packed in found]
        waiting = batch
        while waiting:
            first, waiting = _first_of_each(waiting)
            self._subscribe_all(first)
        return len(batch)

    def _subscribe_all(self, batch: Mapping[str, _Waiting]) -> None:
        """Each of another dialog: all are stored in one go, then answered."""
        now_ms = clock.now_ms()
        asked = {name: partial(_subscribe, wanted, now_ms) for name, (_, wanted) in batch.items()}
        try:
            taken = subscriptions.change_all(self._store, asked)
        except PushError as error:
            log.get().warning("subscribe_not_stored", problem=str(error), refused=len(batch))
            for transaction, _ in batch.values():
                suspended.refuse(transaction)
            return
        for name, (transaction, wanted) in batch.items():
            result = taken[name]
            suspended.resume(
                transaction, self._answer(result, wanted) if isinstance(result, Taken) else result
            )
        stored = [one for one in taken.values() if isinstance(one, Taken) and one.subscription is not None]
        self._learn(stored, now_ms)
        self._referrals.subscribed(
            (one.subscription for one in stored if one.is_new and one.subscription is not None), now_ms
        )

    def _answer(self, taken: Taken, wanted: Wanted) -> Answer:
        answer = taken.answer
        if answer.status != 200:
            return answer
        headers = [*answer.headers, ("Contact", f"<{self._settings.notifier.contact}>")]
        vector = answer_to(wanted.request.charging_vector, self._settings.sender.ioi)
        if vector is not None:
            headers.append(("P-Charging-Vector", vector))
        return Answer(answer.status, answer.reason, tuple(headers))

    def _learn(self, stored: list[Taken], now_ms: int) -> None:
        """The dialogs stand already: what is not learnt now will be with the next refresh."""
        learned_s = self._settings.config.capabilities.learned_s
        facts: dict[str, list[Facts]] = {}
        urls: list[str] = []
        for one in stored:
            sub = one.subscription
            if sub is None or sub.profile != DEVICE:
                continue
            polled = one.is_new and sub.state == "terminated"
            found = rules.facts(sub, now_ms, polled=polled, learned_s=learned_s)
            facts.setdefault(sub.aor, []).append(found)
            urls += [found.profile_url] if found.profile_url else []
        if not facts:
            return
        try:
            capabilities.learn(self._store, facts, now_ms)
            if urls and self._settings.config.capabilities.fetch:
                profiles.want(self._store, urls, now_ms)
        except PushError as error:
            log.get().warning("capabilities_not_stored", aor=next(iter(facts)), problem=str(error))

    # Answers to NOTIFYs --------------------------------------------------------------------------

    def _take_answers(self) -> int:
        answered: list[tuple[Reference, Answered]] = []
        while len(answered) < _MOST_AT_ONCE and (queued := ksr_reader.next_queued(NOTIFIED)):
            answered.append((Reference.unpack(queued[0]), Answered.unpack(queued[1])))
        now_ms = clock.now_ms()
        ended: Counter[tuple[int | str, str, int]] = Counter()
        for reference, answer in answered:
            end = in_flight.end_of(reference.sent_ms, now_ms, is_answered=not answer.local)
            ended[window_name(reference.sender), reference.hop, end] += 1
        if answered:
            window.add_ended(ended)
            self._store_answers(answered)
        return len(answered)

    def _store_answers(self, answered: list[tuple[Reference, Answered]]) -> None:
        """A result that is lost here makes the NOTIFY be sent again after its time."""
        over: list[str] = []
        again: dict[str, int] = {}
        for reference, answer in answered:
            code = "timeout" if answer.local else str(answer.sip_code)
            self._counts.add("sip_responses_total", "NOTIFY", code)
            wait_ms = rules.again_in_ms(answer.sip_code, answer.retry_after_s)
            if wait_ms is not None:
                again[reference.subscription_id] = wait_ms
            elif reference.last or rules.ends_it(answer.sip_code):
                over.append(reference.subscription_id)
        try:
            ended = [(reference.subscription_id, reference.cseq) for reference, _ in answered]
            subscriptions.end_notifies(self._store, ended)
            owed = {name: partial(_owed_again, wait_ms) for name, wait_ms in again.items()}
            subscriptions.change_all(self._store, owed)
            subscriptions.remove_all(self._store, over)
        except PushError as error:
            log.get().warning("notify_result_lost", problem=str(error), number=len(answered))


def _owed_again(wait_ms: int, old: Subscription | None) -> Placed[None]:
    return Placed(old, None if old is None else wait_ms, None)


def _first_of_each(waiting: list[_Waiting]) -> tuple[dict[str, _Waiting], list[_Waiting]]:
    """The first SUBSCRIBE of each dialog, and what is still to be done after them."""
    first: dict[str, _Waiting] = {}
    later: list[_Waiting] = []
    for one in waiting:
        if first.setdefault(one[1].id, one) is not one:
            later.append(one)
    return first, later


def _subscribe(wanted: Wanted, now_ms: int, old: Subscription | None) -> Placed[Taken | Answer]:
    try:
        taken = rules.subscribe(old, wanted, now_ms)
    except PushError as error:
        log.get().warning("request_refused", problem=str(error), status=error.sip_status)
        return Placed(old, None, Answer(error.sip_status, error.sip_reason))
    if taken.subscription is None:
        return Placed(old, None, taken)
    return Placed(taken.subscription, _NOTIFY_AFTER_MS, taken)


def pack_subscribe(wanted: Wanted) -> str:
    """Return a SUBSCRIBE as text for the queue."""
    return base64.b64encode(codec.encode(wanted)).decode()


def unpack_subscribe(packed: str) -> Wanted:
    """Return what `pack_subscribe` packed."""
    return codec.wanted_subscription(base64.b64decode(packed))
