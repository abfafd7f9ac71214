"""The completer processes: they store, in batches, what the SIP workers only hand over."""

from __future__ import annotations

import random
import time
from collections import Counter
from dataclasses import dataclass, field

import holding
import hop_probe
import in_flight
import in_subscriptions
import ksr_reader
import learning
import links
import metrics
import refusing
import watching
import window
from hop_watch import HopWatch
from pace import Pace
from sent import Answered, Sent
from settings import Settings

from omapush import clock, log
from omapush.errors import PushError
from omapush.push import outcome
from omapush.push.capability_sources import LEARNING_CODES
from omapush.push.event_record import Carried
from omapush.push.outcome import Outcome, Reply
from omapush.push.retry import RetryPlans
from omapush.push.values import TARGET_LENGTH
from omapush.store import client, finish, outbox

RESULTS = "results"
_MOST_RESULTS = 256
_REST_S = 0.25
_TAKEN = 200
"The answer of a device that has the push: nothing else about it has to be looked at."


@dataclass
class Results:
    """Answers to pushes that are not stored yet, by what they lead to."""

    ended: list[finish.Ended] = field(default_factory=list)
    "Tries that came to their end."
    again: list[tuple[str, outbox.Told | None]] = field(default_factory=list)
    "Deliveries whose method is chosen anew."
    notifies: list[in_subscriptions.AnsweredNotify] = field(default_factory=list)
    refusals: list[learning.Refused] = field(default_factory=list)
    links: list[links.TakenLink] = field(default_factory=list)
    refused: list[refusing.WayRefused] = field(default_factory=list)
    absent: list[holding.Absent] = field(default_factory=list)
    "Of those that ended, what waits for its user to register."

    @property
    def number(self) -> int:
        """How many answers there are."""
        return len(self.ended) + len(self.again) + len(self.links)


class ResultCompleter:
    """Judges final answers to pushes and stores what they mean."""

    def __init__(self, settings: Settings) -> None:
        self._store = client.connect(settings.config.redis)
        self._hops = HopWatch(settings.config.core.longest_pause_s)
        self._batch = Results()
        self._counts = metrics.Counts()
        self._pace = Pace()
        self.take(settings)

    def take(self, settings: Settings) -> None:
        """Judge and store as these settings say from now on."""
        self._settings = settings
        self._retention_s = settings.config.delivery.retention_s
        self._watch = settings.config.registration.watch
        self._learned_s = settings.config.capabilities.learned_s
        self._hops.take(settings.config.core.longest_pause_s)

    def run_once(self) -> None:
        """Store results that wait. Those that Redis did not take are kept and tried again."""
        self._hops.ask_silent(self._settings.sender.uri, clock.now_ms())
        while self._batch.number or self._fetch():
            try:
                self._store_batch(self._batch)
            except PushError as error:
                log.get().warning("store_trouble", problem=str(error), kept=self._batch.number)
                time.sleep(_REST_S)
                return
            except Exception:
                self._batch = Results()  # a defect; what was in it is found as lost and judged again
                raise
            now_ms = clock.now_ms()
            for one in self._batch.ended:
                metrics.observe("reply_to_stored_seconds", now_ms - one.at_ms)
            self._batch = Results()
            self._pace.worked()
            if self._pace.is_over():
                return
        self._pace.rest()

    def _store_batch(self, batch: Results) -> None:
        """Each step may be repeated; the delivery leaves the outbox, or becomes ready again, last."""
        learning.store(self._store, batch.refusals, learned_s=self._learned_s)
        if self._watch:
            watching.after_results(self._store, batch.ended)
        in_subscriptions.store(self._store, batch.notifies)
        if batch.ended:
            finish.store(self._store, batch.ended, retention_s=self._retention_s)
        links.store(
            self._store,
            batch.links,
            lifetime_s=self._settings.config.content.lifetime_s,
            retention_s=self._retention_s,
        )
        if batch.absent:
            holding.wake_returned(self._store, batch.absent)
        refusing.note(self._store, batch.refused)
        if batch.again:
            outbox.choose_again(self._store, batch.again)

    def _fetch(self) -> int:
        """Judge up to one batch of answers; returns how many."""
        ended: Counter[tuple[int | str, str, int]] = Counter()
        now_ms = clock.now_ms()
        batch = self._batch
        for _ in range(_MOST_RESULTS - batch.number):
            queued = ksr_reader.next_queued(RESULTS)
            if queued is None:
                break
            if queued[0].startswith(hop_probe.REFERENCE):
                said = Answered.unpack(queued[1])
                self._hops.asked(queued[0][len(hop_probe.REFERENCE) :], said.at_ms, local=said.local)
                continue
            sent, answered = Sent.unpack(queued[0]), Answered.unpack(queued[1])
            self._take(batch, sent, answered)
            end = in_flight.end_of(sent.sent_ms, now_ms, is_answered=not answered.local)
            ended[sent.sender, sent.hop, end] += 1
        window.add_ended(ended)
        self._counts.flush()
        return batch.number

    def _take(self, batch: Results, sent: Sent, answered: Answered) -> None:
        code = "timeout" if answered.local else str(answered.sip_code)
        self._counts.add("sip_responses_total", sent.method, code)
        metrics.observe("sent_to_reply_seconds", answered.at_ms - sent.sent_ms)
        self._hops.answered(
            sent.hop,
            sent.ticket[:TARGET_LENGTH],
            answered.sip_code,
            answered.at_ms,
            local=answered.local,
            retry_after_s=answered.retry_after_s,
        )
        if answered.sip_code == _TAKEN and sent.notify is None and not sent.fetch:
            batch.ended.append(self._ended(sent, answered, outcome.DELIVERED))
            return
        if answered.sip_code in LEARNING_CODES and not answered.local and not answered.is_for_a_time:
            batch.refusals.append(learning.Refused(sent.ticket, answered, sent.way))
        if sent.notify is not None:
            batch.notifies.append(in_subscriptions.AnsweredNotify(sent, sent.notify, answered))
            if (again := in_subscriptions.chosen_again(sent.notify, answered)) is not None:
                batch.again.append((sent.ticket, again.told))
                return
        if refusing.is_way_refused(sent, answered):
            batch.refused.append(refusing.WayRefused(sent, answered))
            batch.again.append((sent.ticket, outbox.Told(sent.way, answered.sip_code)))
            return
        if links.is_waited_for(sent, answered):
            batch.links.append(links.TakenLink(sent, answered))
            return
        ended = self._ended(sent, answered, self._judge(sent, answered))
        batch.ended.append(ended)
        if ended.outcome.on_change:
            batch.absent.append(holding.Absent(sent.ticket, sent.sent_ms))

    def _plans(self, place: int) -> RetryPlans:
        """The plans of that place; a sender may have taken more from a reload than we have."""
        plans = self._settings.retry_plans
        return plans[place] if place < len(plans) else plans[0]

    def _judge(self, sent: Sent, answered: Answered) -> Outcome:
        reply = Reply(
            answered.sip_code,
            answered.reason,
            answered.local,
            answered.retry_after_s,
            answered.warning,
        )
        return outcome.judge(
            reply,
            attempt=sent.attempt,
            plans=self._plans(sent.plans),
            unconfirmed=sent.unconfirmed,
            now_ms=answered.at_ms,
            deliver_before_ms=sent.deliver_before_ms,
            jitter=random.random(),
        )

    def _ended(self, sent: Sent, answered: Answered, verdict: Outcome) -> finish.Ended:
        """Return the end of the try, counted."""
        said = f"{verdict.desc} after {answered.at_ms - sent.sent_ms} ms"
        if verdict.retry_at_ms is None:
            self._counts.add("deliveries_finished_total", verdict.state)
            label = self._settings.label_of(sent.plans)
            self._counts.add("deliveries_results_total", label, sent.way, verdict.code)
        else:
            self._counts.add("deliveries_retried_total")
            waits = verdict.retry_at_ms >= sent.deliver_before_ms
            next_step = "open until" if waits else f"try {sent.attempt + 1} at"
            sooner = ", or when the user registers" if verdict.on_change else ""
            said += f"; {next_step} {clock.iso(verdict.retry_at_ms)}{sooner}"
        carrier = sent.notify.id if sent.notify else ""
        carried = Carried(sent.sent_ms, self._settings.node, carrier)
        return finish.Ended(
            sent.ticket,
            verdict,
            sent.method,
            answered.sip_code,
            sent.attempt,
            answered.at_ms,
            said,
            str(carried),
        )
