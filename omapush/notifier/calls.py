"""Requests to initiators and back ends as parts of traces: their headers, and a span for each exchange."""

from __future__ import annotations

from typing import TYPE_CHECKING

from omapush import clock
from omapush.protocol.trace_context import TraceContext
from omapush.push import spans
from omapush.push.spans import Attributes, Span

if TYPE_CHECKING:
    from omapush.telemetry.exporting import SpanExport

_NO_HEADERS: dict[str, str] = {}


class Call:
    """
    One exchange; of one that belongs to no trace there is nothing to tell.

    `context` has the span that it is part of; one without begins a trace. Without `export` there is no span
    of its own, and the context goes on as it is.
    """

    def __init__(
        self, export: SpanExport | None, context: TraceContext | None, name: str, about: Attributes
    ) -> None:
        self._export = export if context is not None and context.is_sampled else None
        self._context = context
        self._name = name
        self._about = about
        self._started_us = clock.now_us()
        self._span_id = ""
        if self._export is not None and context is not None:
            self._span_id = spans.span_id_of(context.span_id, name, self._started_us)

    @property
    def headers(self) -> dict[str, str]:
        """Headers that make the request part of the trace."""
        if self._context is None:
            return _NO_HEADERS
        return self._context._replace(span_id=self._span_id or self._context.span_id).headers

    def ended(self, refusal: str) -> None:
        """Make the span of the exchange; `refusal`: why it was in vain, empty when it was not."""
        if self._export is None or self._context is None:
            return
        span = Span(
            self._name,
            "client",
            self._context.trace_id,
            self._span_id,
            self._context.span_id,
            self._started_us,
            clock.now_us(),
            self._about,
            refusal,
            self._context.state,
        )
        self._export.add([span])
