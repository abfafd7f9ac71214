"""
Metrics of the notifier process.

It has no address of its own to be asked at: every few seconds it leaves them in Redis, and the api of its
node shows them with its own.
"""

from __future__ import annotations

import asyncio
from typing import Final

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Histogram,
    disable_created_metrics,
    generate_latest,
)

from omapush import log
from omapush.config import Config
from omapush.errors import PushError
from omapush.store import node_metrics
from omapush.store.client import Store

_EVERY_S: Final = 2.0
_SPANS: Final = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 60.0, 600.0, 3_600.0)


class NotifierMetrics:
    """What this process counts, from its start on."""

    def __init__(self) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]  # a series more for each of ours
        self.registry = CollectorRegistry()
        self.notifications = Counter(
            "omapush_notifications_total",
            "Result notifications tried",
            ("outcome",),
            registry=self.registry,
        )
        self.notified = Histogram(
            "omapush_result_to_notified_seconds",
            "From a final result to its initiator having taken it",
            registry=self.registry,
            buckets=_SPANS,
        )
        self.swept = Counter(
            "omapush_deliveries_swept_total",
            "Deliveries that the sweeper went on with or ended",
            ("what",),
            registry=self.registry,
        )
        self.records = Counter(
            "omapush_records_written_total", "Event data records written", registry=self.registry
        )

    async def show(self, config: Config, store: Store) -> None:
        """Leave the metrics where the api finds them, until it is cancelled; Redis may be away."""
        while True:
            try:
                text = generate_latest(self.registry)
                await asyncio.to_thread(node_metrics.leave, store, config.node, text)
            except PushError as error:
                log.get().warning("store_trouble", problem=str(error), action="trying again")
            await asyncio.sleep(_EVERY_S)
