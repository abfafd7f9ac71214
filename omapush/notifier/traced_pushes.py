"""Spans of pushes that are over, made from their event logs; those that are not are looked at again later."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from omapush import clock, log
from omapush.errors import PushError
from omapush.push import spans
from omapush.push.spans import MOST_DELIVERIES, Span
from omapush.push.values import PENDING
from omapush.store import pushes, trace_due
from omapush.store.client import Store
from omapush.store.pushes import Known

if TYPE_CHECKING:
    from omapush.telemetry.exporting import SpanExport

_EVERY_S: Final = 1.0
_LEASE_MS: Final = 30_000
_AT_ONCE: Final = 20
"Of each push shard."
_SOONEST_MS: Final = 1_000
_LATEST_MS: Final = 60_000


class TracedPushes:
    """Looks again and again; any number of nodes may."""

    def __init__(self, store: Store, export: SpanExport | None) -> None:
        self._store = store
        self._export = export

    async def run(self) -> None:
        """Work for ever; Redis being away only makes it wait."""
        while True:
            try:
                await asyncio.to_thread(self._look)
            except PushError as error:
                log.get().warning("store_trouble", problem=str(error), action="trying again")
            await asyncio.sleep(_EVERY_S)

    def _look(self) -> None:
        """In a thread."""
        now_ms = clock.now_ms()
        over: list[str] = []
        later: list[tuple[str, int]] = []
        for ref in trace_due.borrow(self._store, now_ms=now_ms, lease_ms=_LEASE_MS, most=_AT_ONCE):
            known = pushes.read(self._store, ref, most=MOST_DELIVERIES) if self._export else None
            if known is not None and not _is_over(known):
                later.append((ref, now_ms + _wait_ms(known, now_ms)))
                continue
            over.append(ref)
            if known is not None and self._export is not None:
                self._export.add(_spans(known))
        if later:
            trace_due.put_off(self._store, later)
        if over:
            trace_due.done(self._store, over)


def _is_over(known: Known) -> bool:
    if known.subscribers is not None:
        return known.subscribers.state == "finished"
    return all(result.state != PENDING for result in known.results)


def _wait_ms(known: Known, now_ms: int) -> int:
    """The longer it takes already, the longer until the next look."""
    return min(max(now_ms - known.push.accepted_ms, _SOONEST_MS), _LATEST_MS)


def _spans(known: Known) -> list[Span]:
    context = spans.context_of(known.push)
    if context is None or not spans.has_own(known.push):
        return []
    return list(spans.of_deliveries(context, known.push, known.results, known.events))
