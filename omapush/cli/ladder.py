"""The event log of one push as a ladder: who told whom what, when and why."""

from __future__ import annotations

import textwrap
from typing import Final

from omapush import clock
from omapush.push.values import Event
from omapush.store.pushes import Known
from omapush.views.ladder import LANES, Step, in_order, steps

_APART: Final = 15
"Characters between two lanes."
_TIME: Final = 13
_FIRST: Final = _TIME + 5
_WIDTH: Final = _FIRST + _APART * (len(LANES) - 1) + 7
_GAP: Final = "  "


def draw(known: Known, *, width: int = 120) -> list[str]:
    """Return the lines of the ladder, each at most `width` characters (but never below 100)."""
    lines = [_header()]
    events = in_order(known.events)
    first_ms = events[0].at_ms if events else known.push.accepted_ms
    room = max(width, 100) - _WIDTH - len(_GAP)
    for event, step in zip(events, steps(events), strict=True):
        said = textwrap.wrap(_said(event, len(known.recipients)), room) or [""]
        lines.append(f"{_time(event.at_ms, first_ms):<{_TIME}}{_arrow(step)}{_GAP}{said[0]}".rstrip())
        lines += [f"{'':<{_TIME}}{_lanes()}{_GAP}{more}" for more in said[1:]]
    return lines


def _header() -> str:
    line = f"{'time':<{_TIME}}"
    for lane, name in enumerate(LANES):
        line = f"{line:<{_FIRST + lane * _APART - len(name) // 2}}{name}"
    return f"{line:<{_WIDTH}}{_GAP}what and why"


def _lanes() -> str:
    """The lanes with nothing between them, from the end of the time column on."""
    return "".join(
        f"{'':<{(_FIRST - _TIME) if lane == 0 else _APART - 1}}|" for lane in range(len(LANES))
    ).ljust(_WIDTH - _TIME)


def _arrow(step: Step) -> str:
    line = list(_lanes())
    left, right = (_FIRST - _TIME + lane * _APART for lane in sorted((step.start, step.end)))
    if left == right:
        line[left] = "o"
        return "".join(line)
    shaft = f" {step.label} ".center(right - left - 1, "-")
    shaft = f"{shaft[:-1]}>" if step.start < step.end else f"<{shaft[1:]}"
    line[left + 1 : right] = shaft
    return "".join(line)


def _said(event: Event, recipients: int) -> str:
    whom = f" [{event.recipient}]" if event.recipient >= 0 and recipients > 1 else ""
    return f"{event.name}{whom}: {event.text}" if event.text else f"{event.name}{whom}"


def _time(at_ms: int, first_ms: int) -> str:
    """The first event shows the time of day, the others how much later they came."""
    if at_ms == first_ms:
        return clock.iso(at_ms)[11:-1]
    return f"+{(at_ms - first_ms) / 1000:.3f} s"
