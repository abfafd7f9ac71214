"""
How much of what arrives is let in, steered by how long it has to wait: pure, for SIP and HTTP alike.

A proportional and integral controller (as in RFC 8033): it looks at how far the wait is from its target, and
at where it is going, so that the queue is neither left to grow nor run empty. What it changes is a share of
what is let in: at ten times the load a tenth is let in, and steps that suit a half would swing it between all
and nothing.
"""

from __future__ import annotations

from typing import Final, NamedTuple

INTERVAL_S: Final = 0.1
"How often the part that is let in is set anew."
LEAST: Final = 0.04
"""
Part that is always let in: without it nobody would see when the wait is over.

Where refusing alone is more than a processor can do, letting in less only means storing less: at 0.04 a third
of the processor's time is still for what is stored, at 0.02 a fifth.
"""
_DISTANCE: Final = 0.1
"Share of what is let in that one target's length too much takes away in an interval."
_MOST_DISTANCE: Final = 3.0
"Targets' lengths that count: a queue that stood for long is no reason to shut the door for long."
_DIRECTION: Final = 1.0
"Share that one target's length more than an interval before takes away."
_MOST_DIRECTION: Final = 0.5
"Share that goes or comes for it at most."
_MOST_MISSED: Final = 50
"Intervals that count; so many lead from the least to all."
_LEAST_SCALE_S: Final = 2 * INTERVAL_S
"A wait that changes by less within an interval is no sign of a change as large as the target is short."


class Level(NamedTuple):
    """What is let in now."""

    admitted: float = 1.0
    "Part of what arrives."
    since_s: float = 0.0
    "Begin of the interval."
    shortest_s: float = -1.0
    "Shortest wait of it; negative: none was seen."
    before_s: float = 0.0
    "The same of the interval before."


def observed(level: Level, wait_s: float, now_s: float, target_s: float) -> Level:
    """
    Return the level after one more wait was seen.

    The shortest wait of an interval tells a queue that stands from one that a burst has just filled: only the
    former is overload.
    """
    shortest_s = wait_s if level.shortest_s < 0 else min(level.shortest_s, wait_s)
    if now_s - level.since_s < INTERVAL_S:
        return level._replace(shortest_s=shortest_s)
    if level.admitted >= 1 and shortest_s <= target_s:
        return Level(1.0, now_s, -1.0, shortest_s)
    distance = min(shortest_s / target_s - 1, _MOST_DISTANCE)
    before_s = level.before_s if level.admitted < 1 else max(level.before_s, target_s)  # so far it was free
    direction = _DIRECTION * (shortest_s - before_s) / max(target_s, _LEAST_SCALE_S)
    change = -_DISTANCE * distance - max(-_MOST_DIRECTION, min(direction, _MOST_DIRECTION))
    part = level.admitted * (1 + change)
    if distance < 0 < change:
        part *= (1 - _DISTANCE * distance) ** _missed(level, now_s)
    return Level(max(LEAST, min(part, 1.0)), now_s, -1.0, shortest_s)


def _missed(level: Level, now_s: float) -> int:
    """
    Return how many intervals have passed without a look.

    With little let in, and few who come, nobody is seen for seconds; what is over has to end then, too.
    """
    return min(int((now_s - level.since_s) / INTERVAL_S) - 1, _MOST_MISSED)
