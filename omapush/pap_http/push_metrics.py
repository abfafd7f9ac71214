"""What the api counts of pushes, by application."""

from __future__ import annotations

from typing import Final

from prometheus_client import CollectorRegistry, Counter

from omapush.config import Config

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
