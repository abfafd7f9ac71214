"""Metrics of the api, followed by those of the notifier and Kamailio: one scrape shows the whole node."""

from __future__ import annotations

import asyncio
import collections
from typing import Any, Final

from litestar import Request
from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.samples import Sample

from omapush import clock
from omapush.config import Config
from omapush.errors import PushError
from omapush.health import kamailio
from omapush.pap_http.probes import OutboxGate
from omapush.pap_http.push_metrics import PushMetrics, SystemMetrics
from omapush.push.alarms import CATALOGUE
from omapush.store import (
    alarms,
    health,
    limits,
    msrp_workers,
    node_metrics,
    outbox,
    owed,
    sessions,
    totals,
)
from omapush.store.client import Store

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
_SPANS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


class ContentMetrics:
    """What the content server counts."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.requests = Counter(
            "omapush_content_requests_total",
            "Requests for contents answered",
            ("status",),
            registry=registry,
        )
        self.bytes = Counter(
            "omapush_content_bytes_total", "Bytes of contents given to devices", registry=registry
        )
        self.downloads = Gauge(
            "omapush_content_downloads", "Contents that are being fetched now", registry=registry
        )


class Metrics:
    """What this process counts, and the way to what the others count."""

    def __init__(self, config: Config, store: Store, gate: OutboxGate) -> None:
        self._store = store
        self._gate = gate
        disable_created_metrics()  # type: ignore[no-untyped-call]  # a series more for each of ours
        self._registry = CollectorRegistry()
        self.pushes = PushMetrics(self._registry)
        self._system = SystemMetrics(self._registry)
        self.take(config)
        self.requests = Counter(
            "omapush_pap_requests_total",
            "PAP documents answered",
            ("operation", "code"),
            registry=self._registry,
        )
        self.http_refused = Counter(
            "omapush_http_refused_total",
            "HTTP requests refused before PAP was read",
            ("status",),
            registry=self._registry,
        )
        self.lock_outs = Counter(
            "omapush_lock_outs_total",
            "Locks after many wrong passwords",
            ("what",),
            registry=self._registry,
        )
        self.limited = Counter(
            "omapush_limited_total",
            "Submissions refused for a limit of their initiator",
            ("initiator", "limit"),
            registry=self._registry,
        )
        self._outstanding = Gauge(
            "omapush_initiator_outstanding",
            "Deliveries without a final result, of initiators with limits",
            ("initiator",),
            registry=self._registry,
        )
        self._json = Counter(
            "omapush_json_requests_total",
            "Requests of the JSON interface answered",
            ("operation", "status"),
            registry=self._registry,
        )
        self._json_shed = self._json.labels("push_submit", "503")
        self._pap_shed = self.http_refused.labels("503")
        self.answer_time = Histogram(
            "omapush_pap_answer_seconds",
            "From PAP request read to answer ready",
            registry=self._registry,
            buckets=_SPANS,
        )
        self._deliveries = Gauge(
            "omapush_outbox_deliveries", "Deliveries in the outbox", ("where",), registry=self._registry
        )
        self._owed = Gauge(
            "omapush_notifications_owed", "Result notifications owed to initiators", registry=self._registry
        )
        self._sessions = Gauge("omapush_sessions_open", "Sessions that carry pushes", registry=self._registry)
        self._media_workers = Gauge(
            "omapush_media_workers", "Media workers that live", registry=self._registry
        )
        self._media_streams = Gauge(
            "omapush_media_streams", "Contents that media workers carry", registry=self._registry
        )
        self._kamailio_up = Gauge(
            "omapush_kamailio_up", "1 when Kamailio gave its metrics", registry=self._registry
        )
        self._alarms = Gauge(
            "omapush_alarm", "Alarms that stand", ("name", "severity"), registry=self._registry
        )
        self.content = ContentMetrics(self._registry)

    def count_shed(self, is_json: bool) -> None:
        """Count a push that was refused before anything of it was read."""
        (self._json_shed if is_json else self._pap_shed).inc()

    def count_json(self, request: Request[Any, Any, Any], status: int) -> None:
        """Count an answer of the JSON interface under the name of its route; empty when there is none."""
        route = request.scope.get("route_handler")
        self._json.labels(getattr(route, "name", "") or "", str(status)).inc()

    def take(self, config: Config) -> None:
        """Show what counts for the initiators that have limits in another configuration."""
        self._config = config
        self._limited = list(limits.limits_of(config))
        self.pushes.take(config)

    @property
    def refused(self) -> float:
        """Submissions, and other requests of initiators, that were refused since the start."""
        found = [sample for counter in (self.requests, self._json) for sample in _samples(counter)]
        return sum(sample.value for sample in _samples(self.http_refused)) + sum(
            sample.value
            for sample in found
            if not sample.labels.get("code", "1").startswith("1") or sample.labels.get("status", "") >= "400"
        )

    async def exposition(self) -> bytes:
        """Return all metrics in Prometheus text format."""
        depth = self._gate.depth
        for where in outbox.Depth._fields[1:]:
            self._deliveries.labels(where).set(getattr(depth, where))
        try:
            self._owed.set(await asyncio.to_thread(owed.count, self._store))
            self._sessions.set(await asyncio.to_thread(sessions.open_sessions, self._store))
            workers = await asyncio.to_thread(msrp_workers.live, self._store)
            self._media_workers.set(len(workers))
            self._media_streams.set(sum(one.streams for one in workers))
            outstanding = await asyncio.to_thread(limits.catch_up, self._store, self._limited)
            ages = await asyncio.to_thread(health.ages, self._store)
            self._system.set(await asyncio.to_thread(totals.read, self._store), ages, clock.now_ms())
            beside = await asyncio.to_thread(node_metrics.found, self._store, self._config.node)
        except PushError:
            self._system.set(None, None, 0)
            beside = b""
            for gauge in (self._owed, self._sessions, self._media_workers, self._media_streams):
                gauge.set(float("nan"))
            outstanding = {}
        for initiator, number in outstanding.items():
            self._outstanding.labels(initiator).set(number)
        await self._show_alarms()
        sip_side = await kamailio.exposition(self._config)
        self._kamailio_up.set(1 if sip_side else 0)
        return generate_latest(self._registry) + beside + sip_side

    async def _show_alarms(self) -> None:
        """Show every kind of the catalogue, 0 when it does not stand."""
        standing = await asyncio.to_thread(alarms.standing, self._store, clock.now_ms())
        numbers = collections.Counter(alarm.name for alarm in standing)
        for kind in CATALOGUE.values():
            self._alarms.labels(kind.name, kind.severity).set(numbers[kind.name])


def _samples(counter: Counter) -> list[Sample]:
    samples = (sample for metric in counter.collect() for sample in metric.samples)
    return [sample for sample in samples if sample.name.endswith("_total")]
