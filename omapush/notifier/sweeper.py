"""
Finishes what a crash left half done, and makes ready what is due.

Every step may be repeated by any node at any time: each is one atomic call that does nothing twice.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from omapush import clock, log
from omapush.config import Config
from omapush.errors import PushError, StoreUnavailable
from omapush.notifier.metrics import NotifierMetrics
from omapush.push import link_outcome
from omapush.push.outcome import Outcome, delivered_in_some, expired
from omapush.push.values import Event, Result, ticket_delivery
from omapush.store import cancelling, fetches, finish, handing_over, outbox, pushes
from omapush.store.client import Store
from omapush.store.finish import Ended
from omapush.store.outbox import Finished, Told

HAND_OVER_LATE_MS = 5_000
"After this time, a push that is not noted as handed over has lost its api process."
MOST_REPEATS = 5
"After so many deaths of its process, a delivery is not sent again: it may be the cause."
_EVERY_S = 0.2
_REST_S = 1.0


class Sweeper:
    """Sweeps all shards, again and again."""

    def __init__(self, config: Config, store: Store, metrics: NotifierMetrics) -> None:
        self._retention_s = config.delivery.retention_s
        self._transaction_ms = config.delivery.transaction_s * 1000
        self._store = store
        self._swept = metrics.swept

    async def run(self) -> None:
        """Work for ever; Redis being away only makes it wait."""
        while True:
            try:
                await asyncio.to_thread(self.sweep)
                await asyncio.sleep(_EVERY_S)
            except PushError as error:
                log.get().warning("store_trouble", problem=str(error), action="trying again")
                await asyncio.sleep(_REST_S)

    def sweep(self) -> None:
        """
        Sweep once.

        Raises:
            Exception: the first that a step met; unless Redis is away, those after it were done all the same.
        """
        outbox.wake(self._store)
        problem: Exception | None = None
        for step in (self._expire, self._repeat_lost, self._hand_over_left, self._repair, self._end_links):
            try:
                step()
            except StoreUnavailable:
                raise
            except Exception as error:  # noqa: BLE001 - one broken record must not keep the other steps from theirs
                problem = problem or error
        if problem is not None:
            raise problem

    def _repair(self) -> None:
        cancelling.repair(self._store, now_ms=clock.now_ms(), retention_s=self._retention_s)

    def _expire(self) -> None:
        """End what waits past its deliver-before, even if no sender looks at it."""
        tickets = outbox.expire(self._store, transaction_ms=self._transaction_ms)
        if not tickets:
            return
        now_ms = clock.now_ms()
        results = pushes.results_of(self._store, [ticket_delivery(ticket) for ticket in tickets])
        told = outbox.told_of(self._store, list(tickets))
        ended = [
            _delivered(ticket, codes, now_ms) or _ended(ticket, last, now_ms, held=tickets[ticket])
            for ticket, last, codes in zip(tickets, results, told, strict=True)
            if last is not None
        ]
        forgotten = set(tickets) - {one.ticket for one in ended}
        outbox.complete(self._store, (Finished(ticket, 0) for ticket in forgotten))
        if ended:
            finish.store(self._store, ended, retention_s=self._retention_s)
            self._swept.labels("expired").inc(len(ended))

    def _end_links(self) -> None:
        """End links that were not fetched in time; a fetch that was noted in the last moment counts."""
        now_ms = clock.now_ms()
        due = fetches.due(self._store, now_ms)
        if not due:
            return
        verdicts = [link_outcome.fetched() if one.is_fetched else link_outcome.run_out() for one in due]
        results = [
            pushes.Stored(
                one.ref,
                one.recipient,
                link_outcome.result(verdict, one.result, now_ms),
                True,
                Event(now_ms, one.recipient, "final", verdict.desc),
            )
            for one, verdict in zip(due, verdicts, strict=True)
            if one.result is not None
        ]
        if results:
            self._swept.labels("link").inc(len(results))
            pushes.store_results(self._store, results, now_ms=now_ms, retention_s=self._retention_s)
        fetches.close(self._store, [(one.ref, one.recipient) for one in due])

    def _hand_over_left(self) -> None:
        """Hand them over; one that fails because of a defect must not block those behind it."""
        late = pushes.not_handed_over(self._store, clock.now_ms() - HAND_OVER_LATE_MS)
        problem: Exception | None = None
        for ref in late:
            try:
                now_ms = clock.now_ms()
                handing_over.left(self._store, ref, now_ms=now_ms, retention_s=self._retention_s)
                pushes.note(self._store, [(ref, Event(now_ms, -1, "handed-over", "by the sweeper"))])
            except PushError as error:
                log.get().warning("hand_over_failed", ref=ref, problem=str(error), action="trying again")
            except Exception as defect:  # noqa: BLE001 - raised when the others are done
                log.get().error("hand_over_crashed", ref=ref, exc_info=defect)
                problem = problem or defect
            else:
                log.get().warning("hand_over_finished", ref=ref, cause="the api died or Redis was slow")
        if problem is not None:
            raise problem

    def _repeat_lost(self) -> None:
        tickets = outbox.overdue(self._store)
        if not tickets:
            return
        final = pushes.are_final(self._store, [ticket_delivery(ticket) for ticket in tickets])
        done = [ticket for ticket, is_final in zip(tickets, final, strict=True) if is_final]
        if done:
            outbox.complete(self._store, (Finished(ticket, 0) for ticket in done))
        lost = [ticket for ticket, is_final in zip(tickets, final, strict=True) if not is_final]
        again = outbox.send_again(self._store, lost)
        self._note(again)
        self._give_up([ticket for ticket, times in again.items() if times > MOST_REPEATS])
        if again:
            self._swept.labels("repeated").inc(len(again))
            log.get().warning("deliveries_repeated", number=len(again), cause="their sip process died")

    def _note(self, again: dict[str, int]) -> None:
        text = "no result came back, its process died; sent again with the same Call-ID"
        events = []
        for ticket in again:
            ref, index = ticket_delivery(ticket)
            events.append((ref, Event(clock.now_ms(), index, "repeat", text)))
        if events:
            pushes.note(self._store, events)

    def _give_up(self, tickets: list[str]) -> None:
        if not tickets:
            return
        now_ms = clock.now_ms()
        text = f"given up: its sip process died {MOST_REPEATS} times over it"
        verdict = Outcome(None, "undeliverable", "3000", text)
        ended = [Ended(ticket, verdict, "MESSAGE", 0, MOST_REPEATS, now_ms, text) for ticket in tickets]
        finish.store(self._store, ended, retention_s=self._retention_s)
        self._swept.labels("given-up").inc(len(tickets))
        log.get().error("deliveries_given_up", number=len(tickets), cause=text)


def _delivered(ticket: str, told: Sequence[Told], now_ms: int) -> Ended | None:
    """The result of a push to several subscriptions of its user, one of which has accepted it."""
    verdict = delivered_in_some([one.sip_code for one in told])
    return None if verdict is None else Ended(ticket, verdict, "NOTIFY", 200, 1, now_ms, verdict.desc)


def _ended(ticket: str, last: Result, now_ms: int, *, held: bool) -> Ended:
    """The result of what waited too long, based on the result of its last attempt."""
    verdict = expired(last.sip_code, held=held)
    return Ended(ticket, verdict, last.method, last.sip_code, last.attempts, now_ms, verdict.desc)
