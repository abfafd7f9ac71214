"""A push as the command shows it: found by its name, as a table, as JSON, as one line."""

from __future__ import annotations

from typing import Any

from rich.table import Table

from omapush import clock
from omapush.cli import terminal
from omapush.push import spans
from omapush.push.values import Push, Result
from omapush.store.fanouts import Reach
from omapush.store.pushes import Known


def as_dict(known: Known) -> dict[str, Any]:
    """Return a push as `--json` shows it."""
    push = known.push
    return {
        "push_id": push.push_id,
        "ref": push.ref,
        "initiator": push.initiator,
        "application": push.application,
        "content_type": push.content_type,
        "bytes": push.size,
        "accepted": clock.iso(push.accepted_ms),
        "deliver_before": clock.iso(push.deliver_before_ms),
        "deliver_after": clock.iso(push.deliver_after_ms) if push.deliver_after_ms else "",
        "replaces": push.replaces,
        "priority": push.priority,
        "notify_url": push.notify_url,
        "trace_id": trace_id(push),
        **outcome_of(known),
        "events": [{**event._asdict(), "at": clock.iso(event.at_ms)} for event in known.events],
    }


def trace_id(push: Push) -> str:
    """Return the trace that a push belongs to, as tracing systems name it; empty: none."""
    context = spans.context_of(push)
    return context.trace_id if context else ""


def outcome_of(known: Known) -> dict[str, Any]:
    """Return the results of a push as `--json` shows them: of each recipient, or how many of subscribers."""
    counted = known.subscribers
    if counted is None:
        return {"recipients": recipients(known)}
    return {
        "state": counted.state,
        "aborted": counted.is_aborted,
        "ended": counted.ended,
        "counts": counted.by_state,
    }


def outcome_line(result: Result, accepted_ms: int) -> str:
    """Return one final result for people: `delivered  200 OK  MESSAGE  in 12 ms`."""
    told = [
        result.state,
        terminal.sip_status(result.sip_code) if result.method or result.sip_code else "not sent",
    ]
    if result.method:
        told.append(result.method)
    told.append(f"in {terminal.span(result.at_ms - accepted_ms)}")
    if result.state != "delivered":
        told.append(f"{result.code} {result.desc}")
    return "  ".join(told)


def recipients(known: Known) -> list[dict[str, Any]]:
    """Return each recipient of a push as `--json` shows it."""
    return [
        {**recipient._asdict(), **result._asdict(), "at": clock.iso(result.at_ms)}
        for recipient, result in zip(known.recipients, known.results, strict=True)
    ]


def reached(known: Known, reach: Reach) -> Table:
    """Return how far a push to subscribers is."""
    counted = known.subscribers
    assert counted is not None  # noqa: S101 - it has a reach
    aborted = ", aborted" if counted.is_aborted and counted.state == "finished" else ""
    return terminal.pairs(
        (
            ("state", counted.state + aborted),
            ("subscribed now", str(reach.subscribed)),
            ("deliveries made", str(reach.made)),
            ("ended", str(counted.ended)),
            *((f"  {state}", str(number)) for state, number in sorted(counted.by_state.items())),
        )
    )


def summary(known: Known) -> Table:
    """Return what a push is, without its recipients."""
    push = known.push
    return terminal.pairs(
        (
            ("push-id", push.push_id),
            ("reference", push.ref),
            ("initiator", push.initiator),
            ("application", push.application),
            ("content", f"{push.content_type}, {push.size} bytes"),
            ("accepted", clock.iso(push.accepted_ms)),
            ("priority", push.priority),
            ("deliver after", clock.iso(push.deliver_after_ms) if push.deliver_after_ms else ""),
            ("deliver before", clock.iso(push.deliver_before_ms) if push.deadline_given else ""),
            ("replaces", push.replaces),
            ("results to", push.notify_url),
            ("trace", trace_id(push)),
        )
    )
