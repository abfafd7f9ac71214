"""A subscription of ours in words, and as `--json` shows it."""

from __future__ import annotations

from typing import Any, Final

from omapush import clock
from omapush.cli import terminal
from omapush.push.watch import NO_VERSION, Watch, is_content

_STATES: Final = {
    "asking": "subscribed, no NOTIFY yet",
    "active": "watched",
    "resting": "failed, tried again",
    "waiting": "not watched before the next REGISTER",
}


_CONTENT_STATES: Final = {
    **_STATES,
    "active": "subscribed",
    "waiting": "ended, not asked again before the next start or --subscribe",
}


def as_text(watch: Watch | None, now_ms: int) -> str:
    """Say what the subscription does, and what is wrong with it."""
    if watch is None:
        return "not watched"
    states = _CONTENT_STATES if is_content(watch.package) else _STATES
    due = f", next step in {terminal.span(max(watch.due_ms - now_ms, 0))}" if watch.due_ms else ""
    why = f" ({watch.why})" if watch.why else ""
    return f"{states[watch.state]}{why} for {terminal.span(now_ms - watch.at_ms)}{due}"


def as_dict(watch: Watch | None) -> dict[str, Any] | None:
    """Return the same for programs; None when there is no subscription."""
    if watch is None:
        return None
    return {
        "state": watch.state,
        "s_cscf": watch.s_cscf,
        "identity": watch.identity,
        "expires": clock.iso(watch.expires_ms) if watch.expires_ms else None,
        "due": clock.iso(watch.due_ms) if watch.due_ms else None,
        "failures": watch.attempts,
        "version": None if watch.doc_version == NO_VERSION else watch.doc_version,
        "call_id": watch.dialog.call_id,
        "why": watch.why,
        "at": clock.iso(watch.at_ms),
    }
