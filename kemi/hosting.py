"""
The completer of pushes for hosted applications: stores them in batches, then lets their transactions answer.

With `answer = "backend"` a transaction goes on waiting for what the back end says: the notifier leaves it in
Redis for this process. Whatever is lost on that way, a push that is stored is answered 200 in time.
"""

from __future__ import annotations

import base64
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

import metrics
import suspended
from pace import Pace
from settings import Settings

from omapush import clock, log
from omapush.config import Hosted
from omapush.errors import PushError
from omapush.protocol.charging_vector import answer_to
from omapush.push import backend_answer
from omapush.push.backend_answer import Verdict
from omapush.push.hosted import HostedPush
from omapush.push.hosted_subscription import within_dialog
from omapush.push.inbound import Answer
from omapush.store import client, codec, hosted
from omapush.store.hosted import Placed, Placing

QUEUE = "hosted"
_MOST_AT_ONCE = 128
_MOST_WAITING = 2_000
"Pushes that may wait for their back ends at once; those beyond it are answered when they are stored."
_LOOK_EVERY_MS = 10
"How often verdicts are asked for while somebody waits."
_NOTHING_TO_DO_S = 0.5
"Where no application is configured, nothing ever comes."
_REST_MS = 250
"The next look when Redis is away."
_PATIENCE_MS = 5_000
"How much longer a transaction waits when Redis is away just then."
_FULL = Answer(503, "Service Unavailable", (("Retry-After", "30"),))

Headers = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class _Arrival:
    """A suspended transaction, the headers of its answer, and its push."""

    transaction: str
    headers: Headers
    push: HostedPush


class _Asker(NamedTuple):
    """Who is to be answered."""

    transaction: str
    headers: Headers
    by_notify: bool


@dataclass
class _Waiting:
    """A push whose back end has not answered, and all transactions that wait for that."""

    application: str
    until_ms: int
    askers: list[_Asker] = field(default_factory=list)


class HostedCompleter:
    """Lives in the one process that drains the queue."""

    def __init__(self, settings: Settings) -> None:
        self._store = client.connect(settings.config.redis)
        self._hosted = settings.config.hosted
        self._former: Mapping[str, Hosted] = {}
        "What was configured before: pushes of an application that is gone may be under way."
        self._waiter = f"{settings.node}/{settings.run}"
        self._waiting: dict[str, _Waiting] = {}
        self._looked_ms = 0
        self._pace = Pace()

    def take(self, settings: Settings) -> None:
        """Take pushes as these settings say from now on; those under way come to their end."""
        self._former = {**self._former, **self._hosted}
        self._hosted = settings.config.hosted

    def _terms(self, application: str) -> Hosted:
        return self._hosted.get(application) or self._former[application]

    def run_once(self) -> None:
        """Store and answer what came, and answer those whose back end has spoken or whose time is over."""
        if not self._hosted and not self._former:
            time.sleep(_NOTHING_TO_DO_S)
            return
        while batch := self._fetch():
            self._place(batch)
            self._pace.worked()
            if self._pace.is_over():
                break
        if self._waiting:
            self._look()
            self._pace.worked()
        self._pace.rest()

    def _fetch(self) -> list[_Arrival]:
        batch: list[_Arrival] = []
        while len(batch) < _MOST_AT_ONCE and (queued := suspended.next_waiting(QUEUE)):
            batch.append(_Arrival(queued[0], *unpack(queued[1])))
        return batch

    def _place(self, batch: list[_Arrival]) -> None:
        now_ms = clock.now_ms()
        try:
            placed = hosted.place_all(self._store, list(self._placings(batch, now_ms)), now_ms)
        except PushError as error:
            log.get().warning("hosted_not_stored", problem=str(error), refused=len(batch))
            for arrival in batch:
                suspended.refuse(arrival.transaction)
            return
        for arrival, one in zip(batch, placed, strict=True):
            self._take(arrival, one, now_ms)
        full = Counter(
            arrival.push.application
            for arrival, one in zip(batch, placed, strict=True)
            if one.status == "full"
        )
        for application, number in full.items():
            log.get().warning("hosted_full", application=application, refused=number)

    def _placings(self, batch: list[_Arrival], now_ms: int) -> Iterator[Placing]:
        for arrival in batch:
            terms = self._terms(arrival.push.application)
            waits = terms.answer == "backend" and len(self._waiting) < _MOST_WAITING
            yield Placing(
                arrival.push,
                terms.is_stream,
                terms.max_waiting,
                terms.remember_s,
                self._waiter if waits else "",
                _until(terms, now_ms) if waits else 0,
            )

    def _take(self, arrival: _Arrival, one: Placed, now_ms: int) -> None:
        application = arrival.push.application
        who = _Asker(arrival.transaction, arrival.headers, arrival.push.method == "NOTIFY")
        if one.status == "full":
            self._answer(application, who, _FULL)
        elif one.waits:
            until_ms = _until(self._terms(application), now_ms)
            self._waiting.setdefault(one.id, _Waiting(application, until_ms)).askers.append(who)
        else:
            self._answer(application, who, self._said(application, one.verdict))

    # Those who wait ------------------------------------------------------------------------------

    def _look(self) -> None:
        now_ms = clock.now_ms()
        if now_ms - self._looked_ms < _LOOK_EVERY_MS:
            return
        self._looked_ms = now_ms
        try:
            for push_id, verdict in hosted.verdicts(self._store, self._waiter, _MOST_AT_ONCE):
                self._end(push_id, verdict)
            late = [push_id for push_id, one in self._waiting.items() if one.until_ms <= now_ms]
            asked = [(self._waiting[push_id].application, push_id) for push_id in late]
            for push_id, verdict_or_none in zip(late, hosted.accept_all(self._store, asked), strict=True):
                self._end(push_id, verdict_or_none)
        except PushError as error:
            log.get().warning("store_trouble", problem=str(error), waiting=len(self._waiting))
            self._looked_ms = now_ms + _REST_MS
            self._give_up(now_ms)

    def _end(self, push_id: str, verdict: Verdict | None) -> None:
        """Answer all who wait for one push; None: it is stored, and that has to do."""
        one = self._waiting.pop(push_id, None)
        if one is None:
            return
        for who in one.askers:
            self._answer(one.application, who, self._said(one.application, verdict))

    def _give_up(self, now_ms: int) -> None:
        """Without Redis nobody knows whether the push is over: the sender has to come again."""
        for push_id in [name for name, one in self._waiting.items() if one.until_ms + _PATIENCE_MS <= now_ms]:
            for who in self._waiting.pop(push_id).askers:
                suspended.refuse(who.transaction)

    def _said(self, application: str, verdict: Verdict | None) -> Answer:
        if verdict is None:
            return Answer(200, "OK")
        return backend_answer.answer(verdict, self._terms(application).content_types)

    def _answer(self, application: str, who: _Asker, answer: Answer) -> None:
        if who.by_notify:
            answer = within_dialog(answer)
        metrics.count_hosted(application, answer.status)
        suspended.resume(
            who.transaction, Answer(answer.status, answer.reason, (*answer.headers, *who.headers))
        )


def answer_headers(charging_vector: str, own_ioi: str) -> Headers:
    """Return what each answer to a push carries: the charging vector with our term-ioi (TS 24.229 5.7.1)."""
    vector = answer_to(charging_vector, own_ioi) if charging_vector else None
    return (("P-Charging-Vector", vector),) if vector else ()


def _until(terms: Hosted, now_ms: int) -> int:
    return now_ms + int(terms.answer_within_s * 1000)


def pack(headers: Headers, push: HostedPush) -> str:
    """Return a push, and headers of the answer to it, as text for the queue."""
    return base64.b64encode(codec.encode_hosted(headers, push)).decode()


def unpack(packed: str) -> tuple[Headers, HostedPush]:
    """Return what `pack` packed."""
    return codec.hosted(base64.b64decode(packed))
