"""The export of spans, if a collector is configured; otherwise its library is not even loaded."""

from __future__ import annotations

from typing import TYPE_CHECKING

from omapush.config import Trace

if TYPE_CHECKING:
    from omapush.telemetry.exporting import SpanExport


def span_export(settings: Trace, process: str) -> SpanExport | None:
    """Return the export of the spans of a process; None: there is none."""
    if not settings.otlp:
        return None
    from omapush.telemetry.exporting import SpanExport  # half a second and 20 MB

    return SpanExport(settings.otlp, process)
