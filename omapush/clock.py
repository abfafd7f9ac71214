"""The one place where time is read; rules get `now` as an argument."""

from __future__ import annotations

import time
from datetime import UTC, datetime

_last_order_us = 0

monotonic = time.monotonic
"Seconds for measuring spans; never goes back."


def now_ms() -> int:
    """Return the wall clock in milliseconds since 1970, the unit of every stored time."""
    return time.time_ns() // 1_000_000


def now_us() -> int:
    """Return the wall clock in microseconds since 1970."""
    return time.time_ns() // 1_000


def order_us() -> int:
    """Return the wall clock in microseconds, each time later than the last in this process."""
    global _last_order_us
    _last_order_us = max(time.time_ns() // 1_000, _last_order_us + 1)
    return _last_order_us


def iso(ms: int) -> str:
    """Return `ms` as `2026-01-31T09:00:01.234Z`."""
    return datetime.fromtimestamp(ms / 1000, UTC).strftime("%Y-%m-%dT%H:%M:%S.") + f"{ms % 1000:03d}Z"
