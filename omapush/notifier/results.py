"""
Result notifications to push initiators, one for each recipient (docs/pap.md).

A result is borrowed from Redis for as long as one try may take; it is settled when the initiator answered,
else it comes back by itself. So it is told once, and again only when we died before noting the answer.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from omapush import clock, log
from omapush.config import Config, Notify
from omapush.errors import PushError
from omapush.notifier import answer, webhook
from omapush.notifier.answer import Answer
from omapush.notifier.calls import Call
from omapush.notifier.metrics import NotifierMetrics
from omapush.notifier.parked import Lent, Parked
from omapush.notifier.posting import Broken, Poster
from omapush.notifier.reachable import NotReachable
from omapush.notifier.settling import Settling
from omapush.notifier.slots import Slots, Turn, host_of
from omapush.protocol import pap_values as pap
from omapush.protocol import retry_after
from omapush.protocol.pap_writer import write
from omapush.push import spans
from omapush.push.alarm_rules import Failing
from omapush.push.outcome import delivery_method_used
from omapush.push.values import Event
from omapush.store import owed
from omapush.store.client import Store
from omapush.store.codec import BrokenRecord
from omapush.store.owed import Due, Settlement

if TYPE_CHECKING:
    from omapush.telemetry.exporting import SpanExport

_IDLE_S: Final = 0.1
_REST_S: Final = 1.0
_SETTLE_MS: Final = 10_000
"What noting an answer may take, on top of waiting for a slot and of the exchange."
_MOST_TRIES: Final = 100_000
"Results whose failed tries are counted, those among them that another notifier has told since."
_HEADERS: Final[Mapping[str, str]] = {"Content-Type": "application/xml", "Accept-Encoding": "identity"}


class Notifications:
    """Delivers what is owed, with a bounded number under way."""

    def __init__(
        self,
        config: Config,
        store: Store,
        poster: Poster,
        metrics: NotifierMetrics,
        export: SpanExport | None = None,
    ) -> None:
        self._settings: Notify = config.notify
        self._secrets = {name: one.signing_secrets() for name, one in config.initiator.items()}
        self._timeout_ms = int(config.notify.timeout_s * 1000)
        self._lease_ms = 2 * self._timeout_ms + _SETTLE_MS
        self._store = store
        self._poster = poster
        self._settling = Settling(store)
        self._export = export
        self._metrics = metrics
        self._slots = Slots(config.notify.concurrency)
        self._parked = Parked()
        self._tasks: set[asyncio.Task[None]] = set()
        self._tries: dict[str, int] = {}
        self._failing: dict[str, tuple[Failing, float]] = {}
        "With the time of the last failure."
        self._unsettled: dict[str, Settlement] = {}
        "What came of notifications, and is not noted yet; at most as many as are under way at a time."

    def failing(self) -> list[Failing]:
        """Return the initiators that take no notifications, of those that something is still owed to."""
        oldest = clock.monotonic() - 2 * self._settings.longest_retry_s - self._settings.timeout_s
        return [one for one, at in self._failing.values() if at > oldest]

    async def run(self, stop: asyncio.Event) -> None:
        """
        Work until `stop` is set, then wait for exchanges under way, at most `notify.timeout_s`.

        Redis being away only makes it wait.
        """
        while not stop.is_set():
            try:
                await self._settle_left()
                taken = await self._take_parked(stop) + await self._borrow(stop)
                rest_s = 0.0 if taken else _IDLE_S
            except PushError as error:
                log.get().warning("store_trouble", problem=str(error), action="trying again")
                rest_s = _REST_S
            with suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), rest_s)
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=self._settings.timeout_s)

    async def _borrow(self, stop: asyncio.Event) -> int:
        """Take what is due and return how much that was; what its host has no room for waits until it has."""
        most = min(self._settings.concurrency, self._slots.room()) // self._store.layout.push_shards
        if self._slots.room() <= 0:
            return 0
        now_ms = clock.now_ms()
        due = await asyncio.to_thread(
            owed.borrow_due,
            self._store,
            now_ms=now_ms,
            lease_ms=self._lease_ms,
            most=max(1, most),
        )
        self._begin(due, now_ms, stop)
        return len(due)

    async def _take_parked(self, stop: asyncio.Event) -> int:
        """Take what is ours already and has room now; return how much that was."""
        now_ms = clock.now_ms()
        lent = self._parked.take(
            self._slots.room_of, self._settings.concurrency, lasting_ms=now_ms + _SETTLE_MS // 2
        )
        if not lent:
            return 0
        due = await asyncio.to_thread(
            owed.borrow_again, self._store, dict(lent), to_ms=now_ms + self._lease_ms
        )
        self._begin(due, now_ms, stop)
        return len(lent)

    def _begin(
        self, due: Sequence[tuple[str, Due | BrokenRecord | None]], borrowed_ms: int, stop: asyncio.Event
    ) -> None:
        for member, one in due:
            if isinstance(one, BrokenRecord):
                log.get().error("result_records_broken", member=member, problem=str(one))
                continue
            host = "" if one is None else host_of(one.push.notify_url)
            if self._slots.hold(host):
                task = asyncio.create_task(self._when_free(member, one, host, borrowed_ms, stop))
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)
            else:
                self._parked.put(host, Lent(member, borrowed_ms + self._lease_ms))

    async def _when_free(
        self, member: str, due: Due | None, host: str, borrowed_ms: int, stop: asyncio.Event
    ) -> None:
        """Tell one result when a slot is free, unless it is ours no more."""
        try:
            async with self._slots.exchange(host) as turn:
                if not stop.is_set() and await self._is_ours(member, borrowed_ms):
                    await self._tell(member, due, turn)
        finally:
            self._slots.let_go(host)

    async def _is_ours(self, member: str, borrowed_ms: int) -> bool:
        """
        Tell whether the lease outlasts an exchange, after a long wait for a slot by having it renewed.

        Who gave up instead would leave the result to itself until the lease is over: where more is owed to
        one host than it takes in one timeout, most of the time for most of them.
        """
        now_ms = clock.now_ms()
        if now_ms - borrowed_ms <= self._timeout_ms:
            return True
        until_ms, to_ms = borrowed_ms + self._lease_ms, now_ms + self._lease_ms
        try:
            return await asyncio.to_thread(
                owed.borrow_on, self._store, member, until_ms=until_ms, to_ms=to_ms
            )
        except PushError as error:
            log.get().warning("store_trouble", problem=str(error), action="trying again")
            return False

    async def _tell(self, member: str, due: Due | None, turn: Turn) -> None:
        index = owed.split_member(member)[1]
        if due is None:
            self._tries.pop(member, None)
            gone = Event(clock.now_ms(), index, "forgotten", "push is gone")
            await self._settle(Settlement(member, 0, gone))
            return
        call = self._call(due, index)
        began = clock.monotonic()
        said = await self._exchange(member, due, call)
        turn.is_answered, turn.took_s = said.is_well, clock.monotonic() - began
        call.ended(said.refusal)
        self._note(due.push.initiator, said.refusal)
        now_ms = clock.now_ms()
        if not said.refusal:
            self._tries.pop(member, None)
            self._metrics.notifications.labels("taken").inc()
            self._metrics.notified.observe(max(now_ms - due.result.at_ms, 0) / 1000)
            text = f"{due.result.state} {due.result.code} told to {due.push.notify_url}"
            if said.remark:
                text += f"; {said.remark}"
                log.get().warning("notification_disputed", push_id=due.push.push_id, problem=said.remark)
            await self._settle(Settlement(member, 0, Event(now_ms, index, "notified", text)))
        elif now_ms - due.result.at_ms > self._settings.give_up_s * 1000:
            self._tries.pop(member, None)
            self._metrics.notifications.labels("given-up").inc()
            log.get().error("notification_given_up", push_id=due.push.push_id, why=said.refusal)
            given_up = Event(now_ms, index, "notify-given-up", said.refusal)
            await self._settle(Settlement(member, 0, given_up))
        else:
            self._metrics.notifications.labels("refused").inc()
            owed_ms = now_ms - due.result.at_ms
            wait_ms = max(self._wait_ms(owed_ms), self._asked_for_ms(said))
            text = f"{said.refusal}; again at {clock.iso(now_ms + wait_ms)}"
            event = Event(now_ms, index, "notify-failed", text)
            is_noted = self._is_noted(member, owed_ms, wait_ms)
            await self._settle(Settlement(member, now_ms + wait_ms, event, is_noted))

    def _note(self, initiator: str, refusal: str) -> None:
        """Remember who takes nothing; only of the configuration, so that there are not too many."""
        if not refusal:
            self._failing.pop(initiator, None)
        elif initiator in self._secrets:
            before = self._failing.get(initiator)
            failures = before[0].failures + 1 if before else 1
            self._failing[initiator] = Failing(initiator, failures, refusal[:200]), clock.monotonic()

    def _asked_for_ms(self, said: Answer) -> int:
        """How long the initiator wants to be left alone, within the ceiling of all waits."""
        return int(min(said.after_s, self._settings.longest_retry_s) * 1000)

    def _wait_ms(self, owed_ms: int) -> int:
        """As long as it is owed by now, so that the wait doubles, whoever tries and whoever was restarted."""
        wait_s = min(max(owed_ms / 1000, self._settings.first_retry_s), self._settings.longest_retry_s)
        return int(wait_s * 1000 * (0.5 + random.random() / 2))

    def _is_noted(self, member: str, owed_ms: int, wait_ms: int) -> bool:
        """
        Whether a failed try has a line in the push's event log: the first, the second, the fourth ...

        An initiator that is away for a day is tried some 300 times, for each of its results. Of more of them
        than are counted a try is noted when it is owed for twice as long as at the one noted last.
        """
        tries = self._tries.get(member, 0) + 1
        if tries == 1 and len(self._tries) >= _MOST_TRIES:
            return owed_ms.bit_length() < (owed_ms + wait_ms).bit_length()
        self._tries[member] = tries
        return tries & (tries - 1) == 0

    async def _settle(self, one: Settlement) -> None:
        """Note what came of it, or remember to: Redis may not take it now."""
        try:
            await self._settling.settle(one)
        except PushError as error:
            if one.member not in self._unsettled:
                log.get().warning("notification_not_settled", member=one.member, problem=str(error))
            self._unsettled[one.member] = one
        else:
            self._unsettled.pop(one.member, None)

    async def _settle_left(self) -> None:
        """Note what could not be noted, before it is borrowed and told once more."""
        for one in list(self._unsettled.values()):
            await self._settle(one)
            if one.member in self._unsettled:
                return

    def _call(self, due: Due, index: int) -> Call:
        """The exchange as part of the push's trace, which it mostly has not."""
        context = spans.context_of(due.push)
        if context is None or not spans.has_own(due.push):
            return Call(None, context, "", {})
        context = context._replace(span_id=spans.delivery_id(due.push.ref, index))
        about = {**spans.about(due.push), "omapush.recipient": index, "omapush.state": due.result.state}
        return Call(self._export, context, "push result", about)

    async def _exchange(self, member: str, due: Due, call: Call) -> Answer:
        """Return the initiator's answer; whatever goes wrong is a refusal, so that the give-up is reached."""
        try:
            async with asyncio.timeout(self._settings.timeout_s):
                return await self._post(member, due, call)
        except TimeoutError:
            return Answer(f"no whole answer within {self._settings.timeout_s:g} s", is_well=False)
        except Broken as error:
            return Answer(str(error), is_well=False)
        except (OSError, ValueError, NotReachable) as error:
            return Answer(f"{type(error).__name__}: {error}", is_well=False)
        except Exception as error:  # noqa: BLE001 - one result must not end the task that others wait behind
            log.get().exception("notification_crashed", push_id=due.push.push_id)
            return Answer(f"{type(error).__name__}: {error}")

    async def _post(self, member: str, due: Due, call: Call) -> Answer:
        if due.push.notify_as != "json":
            body, headers = write(_notification(due)), _HEADERS
        elif secrets := self._secrets.get(due.push.initiator):
            body = webhook.body_of(due, owed.split_member(member)[1])
            headers = webhook.headers_of(body, secrets, name=member, now_s=clock.now_ms() // 1000)
        else:
            return Answer("the configuration has no webhook secret of the initiator (any more)")
        return await self._posted(due.push.notify_url, body, {**headers, **call.headers})

    async def _posted(self, url: str, document: bytes, headers: Mapping[str, str]) -> Answer:
        posted = await self._poster.post(url, document, headers)
        after_s = retry_after.delay_s(posted.retry_after, clock.now_ms() / 1000)
        return answer.read(posted.status, posted.content_type, posted.body, after_s)


def _notification(due: Due) -> pap.ResultNotification:
    push, result = due.push, due.result
    return pap.ResultNotification(
        push_id=push.push_id,
        address=due.recipient.address,
        state=pap.MessageState(result.state),
        code=result.code,
        desc=result.desc,
        event_time=result.at_ms // 1000,
        received_time=push.accepted_ms // 1000,
        sender_name="omapush",
        delivery_method=delivery_method_used(result),
    )
