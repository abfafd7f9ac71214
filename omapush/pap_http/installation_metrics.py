"""Metrics of the whole installation, which Redis is asked for at each scrape: every node shows the same."""

from __future__ import annotations

import collections
from collections.abc import Iterator, Sequence
from typing import Final

from prometheus_client import CollectorRegistry, Gauge
from prometheus_client.core import CounterMetricFamily

from omapush import clock
from omapush.errors import PushError
from omapush.push.alarms import CATALOGUE
from omapush.store import alarms, health, limits, msrp_workers, owed, sessions, totals
from omapush.store.client import Store
from omapush.store.outbox import Depth
from omapush.store.totals import Totals

_UNKNOWN: Final = float("nan")
"What a gauge shows while Redis is away."


class InstallationMetrics:
    """Gauges and counts that are set by `ask`."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._totals: Totals | None = None

        def gauge(name: str, what: str, *labels: str) -> Gauge:
            return Gauge(name, what, labels, registry=registry)

        self._deliveries = gauge("omapush_outbox_deliveries", "Deliveries in the outbox", "where")
        self._oldest = gauge(
            "omapush_outbox_oldest_ready_seconds", "Age of the oldest delivery that could be sent"
        )
        self._owed = gauge(
            "omapush_notifications_owed", "Result notifications not accepted by initiators yet"
        )
        self._oldest_owed = gauge(
            "omapush_notifications_oldest_owed_seconds", "Age of the oldest result owed, by a sample"
        )
        self._outstanding = gauge(
            "omapush_initiator_outstanding",
            "Deliveries without a final result, of initiators with limits",
            "initiator",
        )
        self._sessions = gauge("omapush_sessions_open", "Open sessions that carry pushes")
        self._media_workers = gauge("omapush_media_workers", "Live media workers")
        self._media_streams = gauge("omapush_media_streams", "Contents that media workers transfer now")
        self._at_work = (self._sessions, self._media_workers, self._media_streams)
        self._alarms = gauge("omapush_alarm", "Active alarms", "name", "severity")
        registry.register(self)

    def ask(self, store: Store, depth: Depth, limited: Sequence[str]) -> None:
        """
        Set everything; `depth` is a recent look at the outbox, `limited` are the initiators with limits.

        While Redis is away gauges are unknown and the counts are missing; only alarms are shown all the same.
        """
        for where in Depth._fields[1:]:
            self._deliveries.labels(where).set(getattr(depth, where))
        try:
            self._ask(store, limited)
        except PushError:
            self._totals = None
            for one in (self._oldest, self._owed, self._oldest_owed, *self._at_work):
                one.set(_UNKNOWN)
        self._show_alarms(store)

    def _ask(self, store: Store, limited: Sequence[str]) -> None:
        self._owed.set(owed.count(store))
        self._sessions.set(sessions.open_sessions(store))
        workers = msrp_workers.live(store)
        self._media_workers.set(len(workers))
        self._media_streams.set(sum(one.streams for one in workers))
        for initiator, number in limits.catch_up(store, limited).items():
            self._outstanding.labels(initiator).set(number)
        ages, now_ms = health.ages(store), clock.now_ms()
        self._oldest.set(_age_s(ages.ready_ms, now_ms))
        self._oldest_owed.set(_age_s(ages.owed_ms, now_ms))
        self._totals = totals.read(store)

    def _show_alarms(self, store: Store) -> None:
        """Show every kind of the catalogue, 0 when it does not stand."""
        standing = collections.Counter(alarm.name for alarm in alarms.standing(store, clock.now_ms()))
        for kind in CATALOGUE.values():
            self._alarms.labels(kind.name, kind.severity).set(standing[kind.name])

    def collect(self) -> Iterator[CounterMetricFamily]:
        """Give the counts of all nodes; none while they are not known."""
        family = CounterMetricFamily(
            "omapush_system_deliveries_total",
            "Deliveries of all nodes since the installation began, by state",
            labels=["state"],
        )
        if self._totals is not None:
            family.add_metric(["accepted"], self._totals.accepted)
            for state, number in sorted(self._totals.ended.items()):
                family.add_metric([state], number)
        yield family


def _age_s(since_ms: int, now_ms: int) -> float:
    """0 when there is nothing that waits."""
    return max(now_ms - since_ms, 0) / 1000 if since_ms else 0
