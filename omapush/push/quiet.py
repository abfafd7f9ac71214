"""Quiet hours: when a push of an application waits because its recipient shall not be disturbed."""

from __future__ import annotations

import fnmatch
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, time
from typing import Final, Literal, NamedTuple
from zoneinfo import ZoneInfo

from omapush.push.values import TARGET_LENGTH, Delivery, target
from omapush.push.windows import window_end

_WINDOWS: Final = 32
"Windows that follow each other without a gap and are seen as one; no more are looked at."
_MARGIN_MS: Final = 1_000


class QuietHours(NamedTuple):
    """One rule: for whom, when, and what passes."""

    recipients: tuple[str, ...]
    "Shell patterns over the address of record."
    zone: ZoneInfo
    start: time
    end: time
    "Not later than `start`: on the next day."
    days: frozenset[int]
    "Days on which a window starts; Monday is 0."
    bypass: frozenset[str]
    "Priorities that are sent at any time."
    late: Literal["send", "expire"]
    "What becomes of a push whose deliver-before comes before the window's end."
    spread_ms: int
    "Over how long after the window's end what waited is spread, by user."


class Quiet(NamedTuple):
    """What quiet hours mean for a push now."""

    until_ms: int
    "When to look at it again; 0: it is sent nevertheless."
    why: str


def quiet(rules: Iterable[QuietHours], delivery: Delivery, now_ms: int) -> Quiet | None:
    """Return that a push waits, or is sent although it should; None: no quiet hours touch it now."""
    ours = [rule for rule in rules if _is_for(rule, delivery)]
    end_ms = _end(ours, now_ms)
    if end_ms is None:
        return None
    end = datetime.fromtimestamp(end_ms / 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    if end_ms < delivery.deliver_before_ms:
        spread_ms = max(rule.spread_ms for rule in ours)
        latest_ms = max(end_ms, delivery.deliver_before_ms - _MARGIN_MS)
        return Quiet(min(end_ms + _share(delivery.aor, spread_ms), latest_ms), f"quiet hours until {end}")
    if any(rule.late == "expire" for rule in ours if window_end(rule, now_ms) is not None):
        return Quiet(delivery.deliver_before_ms, f"quiet hours until {end}, after its deliver-before")
    return Quiet(0, f"sent in quiet hours, which end at {end}, after its deliver-before")


def _is_for(rule: QuietHours, delivery: Delivery) -> bool:
    return delivery.priority not in rule.bypass and any(
        pattern == "*" or fnmatch.fnmatchcase(delivery.aor, pattern) for pattern in rule.recipients
    )


def _end(rules: Sequence[QuietHours], now_ms: int) -> int | None:
    """When it stops being quiet, by all rules together."""
    end_ms: int | None = None
    for _ in range(_WINDOWS):
        at_ms = now_ms if end_ms is None else end_ms
        ends = [end for rule in rules if (end := window_end(rule, at_ms)) is not None]
        if not ends:
            return end_ms
        end_ms = max(ends)
    return end_ms


def _share(aor: str, spread_ms: int) -> int:
    """The user's place in the time after a window: always the same, and the users' are spread evenly."""
    return int(target(aor), 16) * spread_ms >> 4 * TARGET_LENGTH
