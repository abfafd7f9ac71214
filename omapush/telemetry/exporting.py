"""
Spans to an OpenTelemetry collector by OTLP over HTTP, in batches and from a thread of their own.

Whoever adds a span never waits: the queue is bounded, and what does not fit, or what the collector does not
take, is lost.
"""

from __future__ import annotations

import logging
import socket
import threading
from collections.abc import Iterable, Sequence
from typing import Final

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import Event, ReadableSpan
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import SpanContext, SpanKind, TraceFlags, TraceState
from opentelemetry.trace.status import Status, StatusCode

from omapush import clock, log
from omapush.push.spans import Span

_PATH: Final = "/v1/traces"
_TIMEOUT_S: Final = 5.0
_CLOSE_S: Final = 3.0
_EVERY_MS: Final = 1_000
_MOST_WAITING: Final = 8_192
_SAY_AGAIN_S: Final = 60.0
_KINDS: Final = {"server": SpanKind.SERVER, "client": SpanKind.CLIENT, "internal": SpanKind.INTERNAL}
_SCOPE: Final = InstrumentationScope("omapush")
_NS: Final = 1_000


class SpanExport:
    """The export of one process."""

    def __init__(self, endpoint: str, process: str) -> None:
        # It would say on its own, and at length, what we say below.
        logging.getLogger("opentelemetry").setLevel(logging.CRITICAL)
        self._resource = Resource.create(
            {"service.name": "omapush", "service.instance.id": f"{socket.gethostname()}/{process}"}
        )
        exporter = _Telling(OTLPSpanExporter(endpoint.rstrip("/") + _PATH, timeout=_TIMEOUT_S))
        self._batches = BatchSpanProcessor(
            exporter, max_queue_size=_MOST_WAITING, schedule_delay_millis=_EVERY_MS
        )

    def add(self, spans: Iterable[Span]) -> None:
        """Send spans soon."""
        for span in spans:
            self._batches.on_end(self._readable(span))

    def close(self) -> None:
        """Send what waits, as far as the collector accepts it within three seconds."""
        ending = threading.Thread(target=self._batches.shutdown, daemon=True)
        ending.start()
        ending.join(_CLOSE_S)

    def _readable(self, span: Span) -> ReadableSpan:
        return ReadableSpan(
            span.name,
            _context(span.trace_id, span.span_id, span.state),
            _context(span.trace_id, span.parent_id, span.state) if span.parent_id else None,
            self._resource,
            span.attributes,
            [Event(name, timestamp=at_us * _NS) for at_us, name in span.events],
            kind=_KINDS[span.kind],
            status=Status(StatusCode.ERROR, span.error) if span.error else Status(),
            start_time=span.start_us * _NS,
            end_time=span.end_us * _NS,
            instrumentation_scope=_SCOPE,
        )


def _context(trace_id: str, span_id: str, state: str) -> SpanContext:
    return SpanContext(
        int(trace_id, 16),
        int(span_id, 16),
        is_remote=False,
        trace_flags=TraceFlags(TraceFlags.SAMPLED),
        trace_state=TraceState.from_header([state]) if state else None,
    )


class _Telling(SpanExporter):
    """An exporter that says in our log, and not too often, when it does not get through."""

    def __init__(self, exporter: SpanExporter) -> None:
        self._exporter = exporter
        self._said_at = -_SAY_AGAIN_S

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Send spans; what fails is lost."""
        result = self._exporter.export(spans)
        now = clock.monotonic()
        if result is not SpanExportResult.SUCCESS and now - self._said_at >= _SAY_AGAIN_S:
            self._said_at = now
            log.get().warning("spans_not_exported", number=len(spans))
        return result

    def shutdown(self) -> None:
        """Send nothing more."""
        self._exporter.shutdown()
