"""What the sizing counts with: figures that were measured, on a machine that is named."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple


class Measured(NamedTuple):
    """Figures of `make bench` (docs/performance.md), as they are measured with all parts on one machine."""

    machine: str
    "What they were measured on."
    cores: int
    "Processors that all parts, Redis and the load generator shared."
    pushes: float
    "`pap_to_delivered`: accepted by PAP and delivered by MESSAGE, each second."
    registers: float
    "`register_capture_watched`: third-party REGISTERs stored, with the reg event watched, each second."
    msrp_mb: float
    "`msrp_stream_unread`: megabytes a second from Redis through one media worker to a device."
    user_bytes: float
    "`redis_bytes_per_user`: a registration with one device, and one idle subscription."
    watch_bytes: float
    "`redis_bytes_watch`: the watch of that registration."
    waiting_bytes: float
    "`redis_bytes_waiting`: a push that waits, without its content."
    finished_bytes: float
    "`redis_bytes_finished`: a push that is finished and still known."


# Two shared virtual processors, Kamailio 5.6.3, Redis 7.0.15, Python 3.11.2; November 2026.
REFERENCE: Final = Measured(
    machine="two shared virtual cores, November 2026",
    cores=2,
    pushes=1_738,
    registers=8_002,
    msrp_mb=592,
    user_bytes=1_437,
    watch_bytes=552,
    waiting_bytes=1_478 - 60,
    finished_bytes=938 + 140,  # and the push in the list of its user, which may have it alone
)
_NAMES: Final = {
    "pushes": "pap_to_delivered",
    "registers": "register_capture_watched",
    "msrp_mb": "msrp_stream_unread",
    "user_bytes": "redis_bytes_per_user",
    "watch_bytes": "redis_bytes_watch",
    "waiting_bytes": "redis_bytes_waiting",
    "finished_bytes": "redis_bytes_finished",
}


def from_bench(figures: Mapping[str, float], machine: str, cores: int) -> Measured:
    """Return what another machine measured; what it did not measure stays the reference's."""
    known = {field: figures[name] for field, name in _NAMES.items() if name in figures}
    return REFERENCE._replace(machine=machine, cores=cores, **known)
