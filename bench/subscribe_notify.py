"""subscribe_notify: SUBSCRIBEs a second stored, answered and followed by their first NOTIFY."""

from __future__ import annotations

from pathlib import Path
from statistics import median

from bench import full_size, sipp_rate
from bench.figure import Figure, compared
from bench.native_presence import Kept, Presence
from bench.sipp_rate import Load

_FIRST = 500.0


def measure(folder: Path, rounds: int) -> Figure:
    """Measure all sides in turn; the ratio is to the module that keeps all in its database, as we do."""
    ours, theirs, through, in_memory = [], [], [], []
    for number in range(rounds):
        ours.append(_ours(folder / f"ours-{number}"))
        theirs.append(_native(folder / f"native-{number}", "database"))
        through.append(_native(folder / f"native-{number}", "through"))
        in_memory.append(_native(folder / f"native-{number}", "memory"))
    figure = compared("subscribe_notify", "SUBSCRIBE/s", "native presence on MariaDB", ours, theirs)
    others = f"; {median(through):,.0f} written through, {median(in_memory):,.0f} in memory only"
    return figure._replace(against=figure.against + others)


def _ours(folder: Path) -> float:
    with full_size.stack(folder, ("redis", "sip")) as stack:
        return sipp_rate.highest(folder, Load("subscribe_application", stack.sip[1], first=_FIRST))


def _native(folder: Path, kept: Kept) -> float:
    with Presence(folder, kept) as presence:
        return sipp_rate.highest(folder, Load("subscribe_presence", presence.port, first=_FIRST))
