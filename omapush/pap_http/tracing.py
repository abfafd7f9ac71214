"""Which trace a submission belongs to, and the span in which it is accepted."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from litestar import Request

from omapush import clock
from omapush.config import Trace
from omapush.protocol import trace_context
from omapush.protocol.trace_context import TraceContext
from omapush.push import spans
from omapush.push.acceptance import Accepted, NotTaken, Offer
from omapush.push.spans import Span
from omapush.telemetry.wishes import Wishes

if TYPE_CHECKING:
    from omapush.telemetry.exporting import SpanExport


def asked_of(request: Request[Any, Any, Any]) -> TraceContext | None:
    """Return the trace that an initiator's request belongs to, if it says so."""
    traceparent = request.headers.get("traceparent")
    if traceparent is None:
        return None
    return trace_context.read(traceparent, ",".join(request.headers.getall("tracestate", [])))


class Tracing:
    """One for the whole process."""

    def __init__(self, settings: Trace, wishes: Wishes, export: SpanExport | None) -> None:
        self._follow = settings.follow
        self._wishes = wishes
        self._export = export

    def begin(self, asked: TraceContext | None, accepted: Accepted) -> Accepted:
        """
        Return a push with the trace that it belongs to, if any.

        What only passes by us, for nobody keeps our spans, stays what the initiator sent.
        """
        context = self._context(asked, accepted)
        if context is None:
            return accepted
        return Accepted(
            accepted.push._replace(trace=context.pack()),
            accepted.recipients,
            accepted.results,
            accepted.content,
        )

    def _context(self, asked: TraceContext | None, accepted: Accepted) -> TraceContext | None:
        if self._export is None:
            return asked
        ref, switches = accepted.push.ref, self._wishes.switches
        is_wanted = (asked is not None and asked.is_sampled and self._follow) or (
            switches.is_on
            and (
                switches.samples(ref)
                or ref in switches.pushes
                or any(one.aor in switches.users for one in accepted.recipients)
            )
        )
        if not is_wanted:
            return asked
        trace_id, state = (asked.trace_id, asked.state) if asked else (spans.trace_id_of(ref), "")
        return TraceContext(trace_id, spans.accept_id(ref), True, state)

    def accepted(self, asked: TraceContext | None, accepted: Accepted, started_us: int) -> None:
        """Make the span of a push that is stored."""
        push = accepted.push
        context = spans.context_of(push)
        if self._export is None or context is None or not spans.has_own(push):
            return
        attributes = {**spans.about(push), "omapush.recipients": len(accepted.recipients)}
        self._export.add([_accept(context, asked, started_us, attributes)])

    def refused(self, asked: TraceContext | None, offer: Offer, why: NotTaken, started_us: int) -> None:
        """Make the span of a push that was not taken, for an initiator who traces it."""
        if self._export is None or asked is None or not (asked.is_sampled and self._follow):
            return
        context = asked._replace(span_id=spans.span_id_of(asked.span_id, offer.push_id, started_us))
        attributes: spans.Attributes = {
            "omapush.push.id": offer.push_id,
            "omapush.application": offer.application,
            "omapush.code": why.code,
        }
        span = _accept(context, asked, started_us, attributes)
        self._export.add([span._replace(error=f"{why.code} {why.field}")])


def _accept(
    context: TraceContext, asked: TraceContext | None, started_us: int, attributes: spans.Attributes
) -> Span:
    return Span(
        "push accept",
        "server",
        context.trace_id,
        context.span_id,
        asked.span_id if asked else "",
        started_us,
        clock.now_us(),
        attributes,
        state=context.state,
    )
