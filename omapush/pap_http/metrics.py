"""Metrics of the api, followed by those of the notifier and Kamailio: one scrape shows the whole node."""

from __future__ import annotations

import asyncio
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

from omapush.config import Config
from omapush.errors import PushError
from omapush.health import kamailio
from omapush.pap_http.installation_metrics import InstallationMetrics
from omapush.pap_http.probes import OutboxGate
from omapush.pap_http.push_metrics import PushMetrics
from omapush.store import limits, node_metrics
from omapush.store.client import Store

CONTENT_TYPE: Final = "text/plain; version=0.0.4"
"Of the exposition; the library adds the charset."
_SPANS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


class ContentMetrics:
    """What the content server counts."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.requests = Counter(
            "omapush_content_requests_total",
            "Requests for content answered",
            ("status",),
            registry=registry,
        )
        self.bytes = Counter(
            "omapush_content_bytes_total", "Bytes of content served to devices", registry=registry
        )
        self.downloads = Gauge("omapush_content_downloads", "Downloads under way", registry=registry)


class Metrics:
    """What this process counts, and the way to what the others count."""

    def __init__(self, config: Config, store: Store, gate: OutboxGate) -> None:
        self._store = store
        self._gate = gate
        disable_created_metrics()  # type: ignore[no-untyped-call]  # a series more for each of ours
        self._registry = CollectorRegistry()
        self.pushes = PushMetrics(self._registry)
        self._installation = InstallationMetrics(self._registry)
        self.take(config)
        self.content = ContentMetrics(self._registry)
        self.requests = self._counter(
            "omapush_pap_requests_total", "PAP documents answered", "operation", "code"
        )
        self.http_refused = self._counter(
            "omapush_http_refused_total", "HTTP requests refused before a PAP document was read", "status"
        )
        self.lock_outs = self._counter(
            "omapush_lock_outs_total", "Lock-outs after many wrong passwords", "what"
        )
        self.limited = self._counter(
            "omapush_limited_total",
            "Submissions refused for a limit of their initiator",
            "initiator",
            "limit",
        )
        self._json = self._counter(
            "omapush_json_requests_total", "Requests of the JSON interface answered", "operation", "status"
        )
        self._json_shed = self._json.labels("push_submit", "503")
        self._pap_shed = self.http_refused.labels("503")
        self.answer_time = Histogram(
            "omapush_pap_answer_seconds",
            "Time from reading a PAP request to having its answer",
            registry=self._registry,
            buckets=_SPANS,
        )
        self._kamailio_up = Gauge(
            "omapush_kamailio_up", "1 when the metrics of Kamailio could be read", registry=self._registry
        )

    def _counter(self, name: str, what: str, *labels: str) -> Counter:
        return Counter(name, what, labels, registry=self._registry)

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
        beside = await asyncio.to_thread(self._ask_redis)
        sip_side = await kamailio.exposition(self._config)
        self._kamailio_up.set(1 if sip_side else 0)
        return generate_latest(self._registry) + beside + sip_side

    def _ask_redis(self) -> bytes:
        """Set what Redis knows for all nodes, and return what the notifier of this node left there."""
        self._installation.ask(self._store, self._gate.depth, self._limited)
        try:
            return node_metrics.found(self._store, self._config.node)
        except PushError:
            return b""


def _samples(counter: Counter) -> list[Sample]:
    samples = (sample for metric in counter.collect() for sample in metric.samples)
    return [sample for sample in samples if sample.name.endswith("_total")]
