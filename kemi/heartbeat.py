"""Each process that works again and again shows that it does; who watches Kamailio sees which one hangs."""

from __future__ import annotations

from typing import Final

import KSR

from omapush import clock

_EVERY_S: Final = 1.0

_next = 0.0


def beat(name: str, number: int) -> None:
    """Show, at most once a second, that this process goes round; `number` tells its like apart."""
    global _next
    now = clock.monotonic()
    if now < _next:
        return
    _next = now + _EVERY_S
    seen = f"{clock.now_ms() / 1000:.3f}"
    KSR.xhttp_prom.gauge_set_l1("process_seen_seconds", seen, f"{name} {number}")
