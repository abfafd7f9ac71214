"""Limits of initiators: asked about for those that have one, and counted over all api nodes."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
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


class Quotas:
    """One for the whole process."""

    def __init__(self, config: Config, store: Store, metrics: Metrics) -> None:
        self._store = store
        self._metrics = metrics
        self._limits = limits.limits_of(config)
        self._caught_up_at = 0.0

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
        reached = await asyncio.to_thread(self._admit, wanted)
        if reached is not None:
            self._metrics.limited.labels(initiator, reached.limit).inc()
            raise refusal(reached, deliveries, own)
        return wanted

    def _admit(self, wanted: Admission) -> Reached | None:
        reached = limits.admit(self._store, wanted)
        if reached is None or reached.limit != "outstanding":
            return reached
        if clock.monotonic() - self._caught_up_at < _CATCH_UP_EVERY_S:
            return reached
        self._caught_up_at = clock.monotonic()
        limits.catch_up(self._store, [wanted.initiator])
        return limits.admit(self._store, wanted)

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
