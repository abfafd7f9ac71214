"""Limits of initiators: asked about for those that have one, and counted over all api nodes."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from typing import Final

from omapush import clock, log
from omapush.config import Config
from omapush.errors import PushError
from omapush.pap_http.metrics import Metrics
from omapush.push.acceptance import Accepted
from omapush.push.limits import Reached, refusal
from omapush.push.values import PENDING
from omapush.store import limits
from omapush.store.client import Store
from omapush.store.limits import Admission
from omapush.store.pushes import Submission

_CATCH_UP_EVERY_S: Final = 0.05
"Who is at its limit of outstanding deliveries may be out of date: looked at no more often than that."
_MOST: Final = 256
"Submissions that are asked about in one trip."

_Waiting = tuple[Admission, asyncio.Future[Reached | None]]
"What is asked about, and what the answer is put into."


class Quotas:
    """One for the whole process."""

    def __init__(self, config: Config, store: Store, metrics: Metrics) -> None:
        self._store = store
        self._metrics = metrics
        self._limits = limits.limits_of(config)
        self._caught_up_at = 0.0
        self._waiting: list[_Waiting] = []
        self._running: asyncio.Task[None] | None = None

    def take(self, config: Config) -> None:
        """Ask about the limits of another configuration; what was counted stays."""
        self._limits = limits.limits_of(config)

    async def admit(self, initiator: str, accepted: Accepted) -> Admission | None:
        """
        Count a push that is about to be stored; None: there is nothing to count, or no limit.

        Raises:
            NotTaken: a limit is reached; nothing is counted.
            StoreUnavailable: whether it is counted is not known.
        """
        own = self._limits.get(initiator)
        if own is None:
            return None
        outstanding = sum(result.state == PENDING for result in accepted.results)
        deliveries = 1 if accepted.push.subscribers else outstanding
        if deliveries == 0:
            return None
        wanted = Admission(initiator, own, deliveries, outstanding)
        reached = await self._asked(wanted)
        if reached is not None:
            self._metrics.limited.labels(initiator, reached.limit).inc()
            raise refusal(reached, deliveries, own)
        return wanted

    async def _asked(self, wanted: Admission) -> Reached | None:
        """Ask Redis: those that come while one trip is under way share the next."""
        answer: asyncio.Future[Reached | None] = asyncio.get_running_loop().create_future()
        self._waiting.append((wanted, answer))
        if self._running is None or self._running.done():
            self._running = asyncio.create_task(self._work())
        return await answer

    async def _work(self) -> None:
        while self._waiting:
            batch, self._waiting = self._waiting[:_MOST], self._waiting[_MOST:]
            try:
                found = await asyncio.to_thread(self._admit, [wanted for wanted, _ in batch])
            except Exception as error:  # noqa: BLE001 - whoever waits is told, or would wait for ever
                _tell([(answer, error) for _, answer in batch])
            else:
                _tell([(answer, reached) for (_, answer), reached in zip(batch, found, strict=True)])

    def _admit(self, wanted: Sequence[Admission]) -> list[Reached | None]:
        found = limits.admit_all(self._store, wanted)
        late = [place for place, one in enumerate(found) if one is not None and one.limit == "outstanding"]
        if not late or clock.monotonic() - self._caught_up_at < _CATCH_UP_EVERY_S:
            return found
        self._caught_up_at = clock.monotonic()
        limits.catch_up(self._store, list(dict.fromkeys(wanted[place].initiator for place in late)))
        again = limits.admit_all(self._store, [wanted[place] for place in late])
        for place, one in zip(late, again, strict=True):
            found[place] = one
        return found

    async def give_back(self, admission: Admission | None) -> None:
        """Take back what was counted of a push that certainly was not stored."""
        if admission is None:
            return
        try:
            await asyncio.to_thread(limits.give_back, self._store, admission)
        except PushError as error:
            log.get().warning("quota_not_given_back", initiator=admission.initiator, problem=str(error))

    def mark(self, submissions: Iterable[Submission]) -> None:
        """Have the results of pushes that were just stored counted, before there can be any."""
        marked = [
            (one.push.ref, one.push.initiator) for one in submissions if one.push.initiator in self._limits
        ]
        if marked:
            limits.mark(self._store, marked)


def _tell(answers: Iterable[tuple[asyncio.Future[Reached | None], Reached | Exception | None]]) -> None:
    for answer, told in answers:
        if answer.done():  # whoever waited has gone
            continue
        if isinstance(told, Exception):
            answer.set_exception(told)
        else:
            answer.set_result(told)
