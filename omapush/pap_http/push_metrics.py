"""What the api counts of pushes by application, and what all nodes together come to."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge
from prometheus_client.core import CounterMetricFamily

from omapush.config import Config
from omapush.store.health import Ages
from omapush.store.totals import Totals

OTHER: Final = "other"
"Label of applications without a table of their own: initiators may make up any number."


class PushMetrics:
    """Pushes submitted here."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._known: frozenset[str] = frozenset()
        self._submitted = Counter(
            "omapush_pushes_submitted_total",
            "Pushes answered, by application and PAP code",
            ("application", "code"),
            registry=registry,
        )
        self._accepted = Counter(
            "omapush_deliveries_accepted_total",
            "Recipients of accepted pushes",
            ("application",),
            registry=registry,
        )

    def take(self, config: Config) -> None:
        """Count applications of another configuration by their names."""
        self._known = frozenset(config.application)

    def submitted(self, application: str, code: str, recipients: int) -> None:
        """Count a push that was accepted, with its recipients, or refused, with none."""
        label = application if application in self._known else OTHER
        self._submitted.labels(label, code).inc()
        if recipients:
            self._accepted.labels(label).inc(recipients)


class SystemMetrics:
    """What is true for all nodes: any of them shows the same."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._totals: Totals | None = None
        self._oldest = Gauge(
            "omapush_outbox_oldest_ready_seconds",
            "For how long the delivery that could leave waits that has waited longest",
            registry=registry,
        )
        self._oldest_owed = Gauge(
            "omapush_notifications_oldest_owed_seconds",
            "For how long the oldest of a sample of results is owed",
            registry=registry,
        )
        registry.register(self)

    def set(self, totals: Totals | None, ages: Ages | None, now_ms: int) -> None:
        """Show these; None while Redis is away."""
        self._totals = totals
        nothing = float("nan")
        for gauge, since_ms in (
            (self._oldest, ages and ages.ready_ms),
            (self._oldest_owed, ages and ages.owed_ms),
        ):
            gauge.set(nothing if since_ms is None else max(now_ms - since_ms, 0) / 1000 if since_ms else 0)

    def collect(self) -> Iterator[CounterMetricFamily]:
        """Give the counts of all nodes; none while they are not known."""
        family = CounterMetricFamily(
            "omapush_system_deliveries_total",
            "Deliveries since ever, by what became of them",
            labels=["state"],
        )
        if self._totals is not None:
            family.add_metric(["accepted"], self._totals.accepted)
            for state, number in sorted(self._totals.ended.items()):
                family.add_metric([state], number)
        yield family
