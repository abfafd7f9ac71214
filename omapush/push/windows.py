"""Times of the day, on some days of the week, in a time zone."""

from __future__ import annotations

from datetime import datetime, time, timedelta
from typing import Final, Protocol
from zoneinfo import ZoneInfo

DAYS: Final = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


class Window(Protocol):
    """What has such times."""

    @property
    def zone(self) -> ZoneInfo:
        """Of the times."""

    @property
    def start(self) -> time:
        """When a window begins."""

    @property
    def end(self) -> time:
        """When it ends; not later than `start`: on the next day."""

    @property
    def days(self) -> frozenset[int]:
        """Days on which a window begins; Monday is 0."""


def window_end(rule: Window, at_ms: int) -> int | None:
    """Return the end of the window that `at_ms` is in, None outside; one of yesterday may still be open."""
    today = datetime.fromtimestamp(at_ms / 1000, rule.zone).date()
    for day in (today, today - timedelta(days=1)):
        if day.weekday() not in rule.days:
            continue
        last = day + timedelta(days=1) if rule.end <= rule.start else day
        start_ms = _ms(datetime.combine(day, rule.start, rule.zone))
        end_ms = _ms(datetime.combine(last, rule.end, rule.zone))
        if start_ms <= at_ms < end_ms:
            return end_ms
    return None


def _ms(moment: datetime) -> int:
    return int(moment.timestamp() * 1000)
