"""The way out for spans, where a collector is configured; else its library is not even loaded."""

from __future__ import annotations

from typing import TYPE_CHECKING

from omapush.config import Trace

if TYPE_CHECKING:
    from omapush.telemetry.exporting import SpanExport


def span_export(settings: Trace, process: str) -> SpanExport | None:
    """Return where the spans of a process go; None: nowhere."""
    if not settings.otlp:
        return None
    from omapush.telemetry.exporting import SpanExport  # half a second and 20 MB

    return SpanExport(settings.otlp, process)
